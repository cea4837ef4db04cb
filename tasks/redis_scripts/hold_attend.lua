-- Say that a restoration goes on, or that it was given up.
-- ARGV[2] the restoration's number, ARGV[3] ms for which this sign of life counts; 0 gives it up
-- Touches restoring. Returns 1 while it is this one that restores, else 0

if redis.call('GET', RESTORING) ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', RESTORING, ARGV[3])
