-- Let a turn last if it still is ours.
-- ARGV[2] token, ARGV[3] ms from now after which it ends by itself
-- Touches turn. Returns 1 when it was, else 0

if redis.call('GET', TURN) ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', TURN, ARGV[3])
