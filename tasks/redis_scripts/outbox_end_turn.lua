-- End a turn if it still is ours.
-- ARGV[2] token
-- Touches turn. Returns 1 when it was, else 0

if redis.call('GET', TURN) ~= ARGV[2] then return 0 end
return redis.call('DEL', TURN)
