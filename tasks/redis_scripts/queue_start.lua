-- Claim the pass of a key.
-- ARGV[3] key, ARGV[4] claim ms
-- Touches all but fails. A claim that expired is taken over whether or not the key is due: its pass never ended.
-- Two claims of one key never have the same proof: taking over needs the end of the old one, which lies after its
-- beginning, to be past.
-- Returns {'busy'} | {'not due'} | {'not due', ms after which to kick again} | {'claimed', now in us, which is also the proof}

local key, claim = ARGV[3], tonumber(ARGV[4])

-- The message in hand is on its way no longer. It may be the timer's, ahead of its instant by the difference of two
-- machines' clocks. Also when the key is busy: the end of that pass must not count on it.
redis.call('ZREM', KICKED, key)
local timer = score(TIMERS, key)
if timer and timer <= now + KICK_AGAIN then redis.call('ZREM', TIMERS, key) end
if alive(key) then return {'busy'} end

local due = score(DUE, key)
if not score(RUNNING, key) then
  if not due then return {'not due'} end
  if due > now then return {'not due', arm(key, due)} end
end
if due and due <= now then redis.call('ZREM', DUE, key) end
redis.call('ZADD', RUNNING, now + claim, key)
redis.call('HSET', CLAIMS, key, string.format('%.0f', now_us))
return {'claimed', now_us}
