-- Forget acknowledgements whose facts are out of the status.
-- ARGV[2] uid, ARGV[3..] event ids; none for all
-- Touches acked. Returns how many were forgotten, or 1 for all

if #ARGV == 2 then return redis.call('DEL', acked_of(ARGV[2])) end
local forgotten = 0
for i = 3, #ARGV do forgotten = forgotten + redis.call('SREM', acked_of(ARGV[2]), ARGV[i]) end
return forgotten
