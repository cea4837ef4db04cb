-- Begin to restore: what an earlier attempt left half-way is dropped.
-- ARGV[2] ms without a sign of life after which this restoration counts as dead
-- Touches everything but fence and epoch; changes nothing while the gate is open, or another restoration lives: one
-- that takes longer than the pause between two sweeps would else be begun anew for ever.
-- Returns the restoration's number, 0 when nothing is to be restored by the caller

if open() or redis.call('EXISTS', RESTORING) == 1 then return 0 end
for _, target in ipairs(redis.call('SMEMBERS', HOLDS)) do redis.call('DEL', hold_of(target)) end
for _, target in ipairs(redis.call('SMEMBERS', LINES)) do redis.call('DEL', line_of(target)) end
redis.call('DEL', HOLDS, LINES, OWNERS, OWNED)
redis.call('SET', RESTORING, whole(now_us), 'PX', ARGV[2])
return now_us
