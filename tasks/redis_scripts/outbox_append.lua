-- Buffer events of one execution, each once, in their order.
-- ARGV[2] uid, ARGV[3] ns/name, ARGV[4] '1' when the execution waits for the acknowledgement, else '0',
-- ARGV[5..] event id, body, ...
-- Touches order, body, source; reads acked and quarantine.
-- Returns how many were neither buffered nor acknowledged nor in quarantine before

local acked, source = acked_of(ARGV[2]), ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
local last = redis.call('ZRANGE', ORDER, -1, -1, 'WITHSCORES')[2]
local place, added = math.max((tonumber(last) or 0) + 1, now_us), 0
for i = 5, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('SISMEMBER', acked, id) == 0 and redis.call('HEXISTS', QUARANTINE, id) == 0
    and redis.call('HSETNX', BODY, id, ARGV[i + 1]) == 1 then
    redis.call('ZADD', ORDER, place + added, id)
    redis.call('HSET', SOURCE, id, source)
    added = added + 1
  end
end
return added
