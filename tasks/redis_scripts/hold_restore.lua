-- Write a hold that the API server proves, while the gate is closed. Of two for one target the greater fence stays.
-- ARGV[2] target, ARGV[3] uid, ARGV[4] ns/name, ARGV[5] fence, ARGV[6] since ms
-- Touches everything of the target but due; `fence` becomes the greatest restored.
-- Returns 1 when the hold is this one's now, else 0

local target, uid, key, fence = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if open() then return 0 end
local hold = holder(target)
if hold and hold.uid ~= uid then
  if hold.fence >= fence then return 0 end
  free(target, hold.uid, hold.key)
end
write_hold(target, uid, key, fence, tonumber(ARGV[6]))
return 1
