-- Leave the line of a target; when the target is free, make whoever is first now due.
-- ARGV[2] target, ARGV[3] uid
-- Touches line, lines, owners, owned, due; changes nothing while the gate is closed.
-- Returns {'closed'} | {'open', ns/name of the one that may go on}

local target, uid = ARGV[2], ARGV[3]
if not open() then return {'closed'} end
local key = known(uid)
if not key or not drop_place(target, uid, key) then return {'open'} end
forget(uid, key)
return wake_first(target, {'open'})
