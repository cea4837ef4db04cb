-- Look at a target.
-- ARGV[2] target, ARGV[3] uid
-- Reads only.
-- Returns {'closed'} | {'free'} | {'mine', fence, since ms, 1 when suspect}
--         | {'busy', holder ns/name, holder uid, since ms, position}

if not open() then return {'closed'} end
return view(ARGV[2], ARGV[3])
