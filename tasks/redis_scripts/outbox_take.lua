-- Read the oldest events; they stay.
-- ARGV[2] at most so many
-- Reads only. Returns {event id, "uid ns/name awaited", body, ...}

local taken = {}
for _, id in ipairs(redis.call('ZRANGE', ORDER, 0, tonumber(ARGV[2]) - 1)) do
  taken[#taken + 1] = id
  taken[#taken + 1] = redis.call('HGET', SOURCE, id)
  taken[#taken + 1] = redis.call('HGET', BODY, id)
end
return taken
