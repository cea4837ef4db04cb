-- Note that nothing is left of earlier runs of a target that is ours under this fence.
-- ARGV[2] target, ARGV[3] uid, ARGV[4] fence
-- Touches suspects. Returns 1 when it was noted.

local hold = holder(ARGV[2])
if not hold or hold.uid ~= ARGV[3] or hold.fence ~= tonumber(ARGV[4]) then return 0 end
redis.call('SREM', SUSPECTS, ARGV[2]:sub(1, 20))
return 1
