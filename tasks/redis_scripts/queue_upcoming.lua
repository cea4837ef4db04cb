-- Arm timers that have come within reach, so that long waits end as exactly as short ones.
-- ARGV[3] at most so many, ARGV[4] ms ahead
-- Touches timers (stamps what it returns); reads due, running.
-- Returns {key, ms until its message must arrive, ...}

local kicks = {}
local page = redis.call('ZRANGEBYSCORE', DUE, '(' .. string.format('%.0f', now), now + tonumber(ARGV[4]),
  'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #page, 2 do
  local key = page[i]
  local delay = not alive(key) and arm(key, tonumber(page[i + 1]))
  if delay then
    kicks[#kicks + 1] = key
    kicks[#kicks + 1] = delay
  end
end
return kicks
