-- Say how long the flush is still put off.
-- ARGV: the prefix only
-- Reads only. Returns ms, 0 when it may begin

local wait = (tonumber(redis.call('HGET', BACKOFF, 'until')) or 0) - now
return math.max(0, wait)
