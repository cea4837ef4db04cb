-- Make keys due.
-- ARGV[3] ms or '' for now; ARGV[4..] keys
-- Touches due, kicked, timers; reads running.
-- Returns {key, ms until its message must arrive, ...} for the keys that need one.

local at = tonumber(ARGV[3]) or now
local kicks = {}
for i = 4, #ARGV do
  local key = ARGV[i]
  want(DUE, key, at)
  if not alive(key) then
    local delay = arm(key, score(DUE, key))
    if delay then
      kicks[#kicks + 1] = key
      kicks[#kicks + 1] = delay
    end
  end
end
return kicks
