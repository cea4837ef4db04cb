-- End a pass.
-- ARGV[3] key, ARGV[4] the claim's proof, ARGV[5] ms of the next wake or '',
-- ARGV[6] '' or 'failed', then ARGV[7] first backoff ms, ARGV[8] longest ms, ARGV[9] jitter as a share of it
-- Touches all. What arrived during the pass is in `due`, and the earlier instant wins.
-- Returns {'lost'} when the claim is somebody else's by now, and changes nothing;
--         {'ended'} | {'ended', ms until the message for the next pass must arrive}

local key, wake = ARGV[3], tonumber(ARGV[5])
if not claimed(key, ARGV[4]) then return {'lost'} end
redis.call('ZREM', RUNNING, key)
redis.call('HDEL', CLAIMS, key)

if ARGV[6] == 'failed' then
  local before = redis.call('HINCRBY', FAILS, key, 1) - 1
  local backoff = math.min(tonumber(ARGV[7]) * 2 ^ before, tonumber(ARGV[8])) * (1 + tonumber(ARGV[9]))
  local again = now + math.max(1, math.floor(backoff))
  wake = wake and math.min(wake, again) or again
else
  redis.call('HDEL', FAILS, key)
end

if wake then want(DUE, key, wake) end
local due = score(DUE, key)
if not due then return {'ended'} end
return {'ended', arm(key, due)}
