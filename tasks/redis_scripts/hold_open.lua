-- Open the gate, and make the first in line of every free target due.
-- ARGV[2] the restoration's number, or '' for whatever has been restored
-- Touches epoch, restoring, due.
-- Returns 1 when the gate is open now; 0 when another restoration began since, or Redis was emptied again

if open() then return 1 end
if ARGV[2] ~= '' and redis.call('GET', RESTORING) ~= ARGV[2] then return 0 end
redis.call('SET', EPOCH, server())
redis.call('DEL', RESTORING)
for _, target in ipairs(redis.call('SMEMBERS', LINES)) do wake_first(target, {}) end
return 1
