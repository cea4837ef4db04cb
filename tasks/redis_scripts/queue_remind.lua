-- Make keys due now that nobody asked for: those whose last pass failed keep the instant their backoff gave them.
-- ARGV[3..] keys
-- Touches due, kicked, timers; reads running, fails.
-- Returns {key, 0, ...} for the keys that need a message

local kicks = {}
for i = 3, #ARGV do
  local key = ARGV[i]
  local backing_off = redis.call('HGET', FAILS, key) and score(DUE, key)
  if not backing_off and not alive(key) then
    want(DUE, key, now)
    if arm(key, now) then
      kicks[#kicks + 1] = key
      kicks[#kicks + 1] = 0
    end
  end
end
return kicks
