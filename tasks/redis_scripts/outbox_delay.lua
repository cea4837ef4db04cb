-- Put off the next flush for everybody, longer with each failure in a row.
-- ARGV[2] first wait ms, ARGV[3] longest ms, ARGV[4] jitter as a share of it, ARGV[5] wait at least so many ms
-- Touches backoff. Returns the wait in ms

local before = redis.call('HINCRBY', BACKOFF, 'failures', 1) - 1
local wait = math.min(tonumber(ARGV[2]) * 2 ^ before, tonumber(ARGV[3])) * (1 + tonumber(ARGV[4]))
wait = math.max(1, math.floor(wait), tonumber(ARGV[5]))
redis.call('HSET', BACKOFF, 'until', string.format('%.0f', now + wait))
return wait
