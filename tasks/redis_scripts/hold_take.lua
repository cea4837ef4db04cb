-- Take a target, recognise it as ours, or join its line.
-- ARGV[2] target, ARGV[3] uid, ARGV[4] ns/name, ARGV[5] creation s
-- Touches everything of the target; changes nothing while the gate is closed. A free target goes to the first in line
-- only, and whoever else comes makes that one due.
-- Returns {'closed'} | {'mine', fence, since ms, 1 when suspect} | {'busy', holder ns/name, holder uid, since ms, position}

local target, uid, key = ARGV[2], ARGV[3], ARGV[4]
if not open() then return {'closed'} end
local seen = view(target, uid)
if seen[1] == 'mine' then return seen end

if seen[1] == 'busy' then
  join(target, uid, key, ARGV[5])
  seen = view(target, uid)
  if seen[1] == 'busy' then
    wake_first(target, {})
    return seen
  end
end
local fence = math.max(last_fence() + 1, now_us)
local was_suspect = suspect(target)
write_hold(target, uid, key, fence, now)
return {'mine', fence, now, was_suspect}
