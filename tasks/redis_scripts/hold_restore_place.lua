-- Write a place in a line, while the gate is closed.
-- ARGV[2] target, ARGV[3] uid, ARGV[4] ns/name, ARGV[5] creation s
-- Touches line, lines, owners, owned.
-- Returns 1 when it has the place now, 0 when the gate is open or it holds the target

local target, uid = ARGV[2], ARGV[3]
if open() then return 0 end
local hold = holder(target)
if hold and hold.uid == uid then return 0 end
join(target, uid, ARGV[4], ARGV[5])
return 1
