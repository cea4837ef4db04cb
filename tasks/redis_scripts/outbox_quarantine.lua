-- Set aside one event that DataStorage refuses for good, and make its execution due.
-- ARGV[2] event id, ARGV[3] uid, ARGV[4] ns/name, ARGV[5] the record
-- Touches order, body, source, quarantine, due; reads acked: who was late with a refusal does not undo that it is stored.
-- Returns 1 when it is in quarantine now, else 0

drop(ARGV[2])
if redis.call('SISMEMBER', acked_of(ARGV[3]), ARGV[2]) == 1 then return 0 end
redis.call('HSET', QUARANTINE, ARGV[2], ARGV[5])
want(DUE, ARGV[4], now)
return 1
