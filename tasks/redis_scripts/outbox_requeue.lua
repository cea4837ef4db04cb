-- Take events out of the quarantine and buffer them again, behind all others, in the order given.
-- ARGV[2..] event ids
-- Touches quarantine, order, body, source. Returns the ids that were in quarantine

local last = redis.call('ZRANGE', ORDER, -1, -1, 'WITHSCORES')[2]
local place, back = math.max((tonumber(last) or 0) + 1, now_us), {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local record = redis.call('HGET', QUARANTINE, id)
  if record then
    record = cjson.decode(record)
    redis.call('HDEL', QUARANTINE, id)
    redis.call('HSET', BODY, id, record.body)
    redis.call('HSET', SOURCE, id, record.uid .. ' ' .. record.key .. ' 1')
    redis.call('ZADD', ORDER, place + #back, id)
    back[#back + 1] = id
  end
end
return back
