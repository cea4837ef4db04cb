-- Stands in front of every queue_*.lua. A key wants a pass while it is in `due` or in `running`:
-- a pass that starts moves it from the one to the other, and only its end takes it out of `running`,
-- so neither a crash nor a lost message loses it.
--
-- KEYS, ZSETs unless it says HASH, all written by queue_*.lua only (`due` also by holds and outbox):
--   1 {prefix}:due      key -> ms at which it wants a pass
--   2 {prefix}:running  key -> ms until when its pass is believed alive; its worker moves it on while it lives
--   3 {prefix}:kicked   key -> ms of the last message that asks for a pass now
--   4 {prefix}:timers   key -> ms at which the message with an ETA fires
--   5 {prefix}:fails    HASH key -> passes failed in a row
--   6 {prefix}:claims   HASH key -> us at which the pass in `running` began: the proof of its claim
-- ARGV[1] horizon ms, ARGV[2] kick_again ms; each script has its own from ARGV[3].

local DUE, RUNNING, KICKED, TIMERS, FAILS, CLAIMS = unpack(KEYS)
local HORIZON, KICK_AGAIN = tonumber(ARGV[1]), tonumber(ARGV[2])
local now_us = time_us()
local now = math.floor(now_us / 1000)

local function score(zset, key)
  return tonumber(redis.call('ZSCORE', zset, key))
end

local function claimed(key, token)
  return score(RUNNING, key) and redis.call('HGET', CLAIMS, key) == token
end

local function alive(key)
  local believed = score(RUNNING, key)
  return believed and believed > now
end

-- A stamp of the future comes from a clock that was set back: it counts as none.
local function on_its_way(stamp)
  return stamp and stamp <= now and stamp > now - KICK_AGAIN
end

-- Returns after how many ms a message must arrive for a pass at `at`, and stamps it; nil when none is needed: one is
-- on its way, one fires no later (and moves on when it is too early), or the sweep will see to it.
local function arm(key, at)
  local timer = score(TIMERS, key)
  if at <= now then
    if on_its_way(score(KICKED, key)) or on_its_way(timer) then return nil end
    redis.call('ZADD', KICKED, now, key)
    return 0
  end
  if at > now + HORIZON or (timer and timer > now and timer <= at) then return nil end
  redis.call('ZADD', TIMERS, at, key)
  return at - now
end
