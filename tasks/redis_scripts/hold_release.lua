-- Free a target if it still is ours under this fence, and make the first in line due.
-- ARGV[2] target, ARGV[3] uid, ARGV[4] fence, ARGV[5] 1 when its owner found that nothing is left of earlier runs
-- Touches hold, holds, owners, owned, due; changes nothing while the gate is closed.
-- Returns {'closed'} | {'open', ns/name of the one that may go on}

local target, uid = ARGV[2], ARGV[3]
if not open() then return {'closed'} end
local hold = holder(target)
if not hold or hold.uid ~= uid or hold.fence ~= tonumber(ARGV[4]) then return {'open'} end
free(target, uid, hold.key)
if ARGV[5] == '1' then redis.call('SREM', SUSPECTS, target:sub(1, 20)) end
return wake_first(target, {'open'})
