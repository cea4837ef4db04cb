-- Begin to restore: what an earlier attempt left half-way is dropped.
-- ARGV: the prefix only
-- Touches everything but fence and epoch; changes nothing while the gate is open.
-- Returns the restoration's number, 0 while the gate is open

if open() then return 0 end
for _, target in ipairs(redis.call('SMEMBERS', HOLDS)) do redis.call('DEL', hold_of(target)) end
for _, target in ipairs(redis.call('SMEMBERS', LINES)) do redis.call('DEL', line_of(target)) end
redis.call('DEL', HOLDS, LINES, OWNERS, OWNED)
redis.call('SET', RESTORING, whole(now_us))
return now_us
