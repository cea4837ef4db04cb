-- Say that passes live. A claim that expired is still its owner's while nobody took it over.
-- ARGV[3] claim ms, then pairs: key, the claim's proof
-- Touches running; reads claims.
-- Returns {1 | 0, ...}, a figure for each pair: 0 means that the claim is lost for good

local until_ms, kept = now + tonumber(ARGV[3]), {}
for i = 4, #ARGV, 2 do
  local key = ARGV[i]
  local ours = claimed(key, ARGV[i + 1])
  if ours then redis.call('ZADD', RUNNING, until_ms, key) end
  kept[#kept + 1] = ours and 1 or 0
end
return kept
