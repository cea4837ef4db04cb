-- Find keys that want a pass now and for which no message is on its way.
-- ARGV[3] at most so many
-- Touches kicked and timers (stamps what it returns, forgets stamps a minute old); reads due, running.
-- Returns {key, ...}, those with an expired claim first, then the oldest instants.

local PAGE, FARTHEST, STALE = 500, 10000, 60000
local limit, found = tonumber(ARGV[3]), {}
redis.call('ZREMRANGEBYSCORE', KICKED, '-inf', now - STALE)
redis.call('ZREMRANGEBYSCORE', TIMERS, '-inf', now - STALE)

for _, zset in ipairs({RUNNING, DUE}) do
  local offset, page = 0, nil
  repeat
    page = redis.call('ZRANGEBYSCORE', zset, '-inf', now, 'LIMIT', offset, PAGE)
    for _, key in ipairs(page) do
      if #found < limit and not alive(key) and arm(key, now) then found[#found + 1] = key end
    end
    offset = offset + PAGE
  until #page < PAGE or #found >= limit or offset >= FARTHEST
end
return found
