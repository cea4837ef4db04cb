-- Put off the next flush for everybody, longer with each failure in a row.
-- ARGV[2] first wait ms, ARGV[3] longest ms, ARGV[4] the share of it that is waited, ARGV[5] wait at least so many ms,
-- ARGV[6] what was said
-- Touches backoff. Returns the wait in ms

local before = redis.call('HINCRBY', BACKOFF, 'failures', 1) - 1
local wait = math.min(tonumber(ARGV[2]) * 2 ^ before, tonumber(ARGV[3])) * tonumber(ARGV[4])
wait = math.max(1, math.floor(wait), tonumber(ARGV[5]))
redis.call('HSET', BACKOFF, 'until', string.format('%.0f', now + wait), 'words', ARGV[6])
return wait
