-- Set aside one event that DataStorage refuses for good, and make its execution due.
-- ARGV[2] event id, ARGV[3] ns/name, ARGV[4] the record
-- Touches order, body, source, quarantine, due. Returns 1

drop(ARGV[2])
redis.call('HSET', QUARANTINE, ARGV[2], ARGV[4])
want(DUE, ARGV[3], now)
return 1
