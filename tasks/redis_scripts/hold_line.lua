-- Read a line.
-- ARGV[2] target, ARGV[3] at most so many
-- Reads only. Returns {"uid|ns/name", creation s, ...}, the first first

return redis.call('ZRANGE', line_of(ARGV[2]), 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
