-- Find who waits first for a target that is free.
-- ARGV: the prefix only
-- Reads only. Returns {ns/name, ...}, empty while the gate is closed

local heads = {}
if not open() then return heads end
for _, target in ipairs(redis.call('SMEMBERS', LINES)) do
  local head = not holder(target) and first(target)
  if head then heads[#heads + 1] = head.key end
end
return heads
