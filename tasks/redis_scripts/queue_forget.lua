-- Drop everything about a key whose execution is gone. A living claim stays: its pass ends by itself.
-- ARGV[3] key
-- Touches all. Returns 1.

local key = ARGV[3]
for _, zset in ipairs({DUE, KICKED, TIMERS}) do redis.call('ZREM', zset, key) end
redis.call('HDEL', FAILS, key)
if not alive(key) then
  redis.call('ZREM', RUNNING, key)
  redis.call('HDEL', CLAIMS, key)
end
return 1
