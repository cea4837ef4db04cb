-- Read all holds.
-- ARGV: the prefix only
-- Reads only. Returns {target text, ns/name, uid, fence, since ms, length of its line, ...}

local rows = {}
for _, target in ipairs(redis.call('SMEMBERS', HOLDS)) do
  local hold = holder(target)
  for _, value in ipairs({
    target:sub(22), hold.key, hold.uid, hold.fence, hold.since, redis.call('ZCARD', line_of(target)),
  }) do
    rows[#rows + 1] = value
  end
end
return rows
