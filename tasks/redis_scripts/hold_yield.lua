-- Give a target that is ours under this fence to the execution whose run exists, and join the line behind it.
-- ARGV[2] target, ARGV[3] uid, ARGV[4] ns/name, ARGV[5] creation s, ARGV[6] fence,
-- ARGV[7] the other's uid, ARGV[8] its ns/name, ARGV[9] the fence its run carries
-- Touches everything of the target, and makes the other due.
-- Returns what hold_take.lua returns, as we see it afterwards: 'free' when it was no longer ours and is nobody's

local target, uid, key = ARGV[2], ARGV[3], ARGV[4]
if not open() then return {'closed'} end
local hold = holder(target)
if not hold or hold.uid ~= uid or hold.fence ~= tonumber(ARGV[6]) then return view(target, uid) end
free(target, uid, key)
write_hold(target, ARGV[7], ARGV[8], tonumber(ARGV[9]), now)
want(DUE, ARGV[8], now)
join(target, uid, key, ARGV[5])
return view(target, uid)
