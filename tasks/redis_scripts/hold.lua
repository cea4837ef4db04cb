-- Stands in front of every hold_*.lua. A hold has no expiry: its owner is an execution, not a worker.
-- A target travels as one text, "<run name> <target>"; the run name (20 characters, a digest) names its keys. Their
-- names are made here, so all of {prefix} must lie on one server: no Redis Cluster.
--
-- KEYS, all written by hold_*.lua only (`due` also by the queue and the outbox):
--   1 {prefix}:due        ZSET    see due.lua
--   2 {prefix}:holds      SET     of targets that are held
--   3 {prefix}:lines      SET     of targets with somebody in line
--   4 {prefix}:fence      STRING  the last fence given, microseconds; only ever grows
--   5 {prefix}:epoch      STRING  run_id of the server process on which the gate was opened; missing, or another's = the
--                                 gate is closed: a server that was restarted from a snapshot, or a replica that took
--                                 over, may have lost the last holds (an ACL has to allow INFO)
--   6 {prefix}:restoring  STRING  microseconds at which the restoration under way began; expires when it gives no sign
--   7 {prefix}:owners     HASH    uid -> "ns/name <run name> <target>", for everybody who holds or waits
--   8 {prefix}:owned      HASH    ns/name -> its uids in `owners`, with spaces between
--   9 {prefix}:suspects   SET     of run names under which a run may have left TaskRuns or pods: every target that was
--                                 taken, until its holder releases it having found that nothing is left
-- and for each target:
--     {prefix}:hold:<run name>  HASH  owner (uid), key (ns/name), fence, since (ms), target; missing = free
--     {prefix}:line:<run name>  ZSET  "uid|ns/name" -> creation, seconds since 1970; ties in order of uid
-- ARGV[1] prefix; each script has its own from ARGV[2].

local DUE, HOLDS, LINES, FENCE, EPOCH, RESTORING, OWNERS, OWNED, SUSPECTS = unpack(KEYS)
local PREFIX = ARGV[1]
local now_us = time_us()
local now = math.floor(now_us / 1000)

local function server() return redis.call('INFO', 'server'):match('run_id:(%w+)') or 'unknown' end
local function open() return redis.call('GET', EPOCH) == server() end
local function hold_of(target) return PREFIX .. ':hold:' .. target:sub(1, 20) end
local function line_of(target) return PREFIX .. ':line:' .. target:sub(1, 20) end
local function place(uid, key) return uid .. '|' .. key end
local function suspect(target) return redis.call('SISMEMBER', SUSPECTS, target:sub(1, 20)) end
local function whole(number) return string.format('%.0f', number) end

-- The hold of a target, nil when it is free.
local function holder(target)
  local read = redis.call('HMGET', hold_of(target), 'owner', 'key', 'fence', 'since')
  if not read[1] then return nil end
  return {uid = read[1], key = read[2], fence = tonumber(read[3]), since = tonumber(read[4])}
end

-- The first in line, nil when nobody is.
local function first(target)
  local read = redis.call('ZRANGE', line_of(target), 0, 0, 'WITHSCORES')
  if not read[1] then return nil end
  local uid, key = read[1]:match('^([^|]*)|(.*)$')
  return {uid = uid, key = key, since = tonumber(read[2]) * 1000}
end

-- Who a uid is and what it holds or waits for: key and target, nil when neither.
local function known(uid)
  local text = redis.call('HGET', OWNERS, uid)
  if text then return text:match('^(%S+) (.*)$') end
end

local function remember(uid, key, target)
  if redis.call('HSET', OWNERS, uid, key .. ' ' .. target) == 0 then return end
  local uids = redis.call('HGET', OWNED, key)
  redis.call('HSET', OWNED, key, uids and uids .. ' ' .. uid or uid)
end

local function forget(uid, key)
  redis.call('HDEL', OWNERS, uid)
  local others = {}
  for other in (redis.call('HGET', OWNED, key) or ''):gmatch('%S+') do
    if other ~= uid then others[#others + 1] = other end
  end
  if #others == 0 then
    redis.call('HDEL', OWNED, key)
  else
    redis.call('HSET', OWNED, key, table.concat(others, ' '))
  end
end

local function join(target, uid, key, created)
  redis.call('ZADD', line_of(target), created, place(uid, key))
  redis.call('SADD', LINES, target)
  remember(uid, key, target)
end

-- Takes a uid out of the line; `owners` is left to the caller. Returns whether it was there.
local function drop_place(target, uid, key)
  local dropped = redis.call('ZREM', line_of(target), place(uid, key)) == 1
  if dropped and redis.call('EXISTS', line_of(target)) == 0 then redis.call('SREM', LINES, target) end
  return dropped
end

local function last_fence() return tonumber(redis.call('GET', FENCE)) or 0 end

local function write_hold(target, uid, key, fence, since)
  if fence > last_fence() then redis.call('SET', FENCE, whole(fence)) end
  drop_place(target, uid, key)
  redis.call('HSET', hold_of(target), 'owner', uid, 'key', key, 'fence', whole(fence), 'since', whole(since),
    'target', target:sub(22))
  redis.call('SADD', HOLDS, target)
  redis.call('SADD', SUSPECTS, target:sub(1, 20))  -- for every pass but the one that takes it: it created nothing yet
  remember(uid, key, target)
end

local function free(target, uid, key)
  redis.call('DEL', hold_of(target))
  redis.call('SREM', HOLDS, target)
  forget(uid, key)
end

-- Makes the first in line of a free target due, and adds its key to `woken`.
local function wake_first(target, woken)
  local head = not holder(target) and first(target)
  if head then
    want(DUE, head.key, now)
    woken[#woken + 1] = head.key
  end
  return woken
end

-- What `uid` sees: {'mine', fence, since, 1 when suspect} | {'busy', key, uid, since, position} | {'free'}
local function view(target, uid)
  local hold = holder(target)
  if hold and hold.uid == uid then return {'mine', hold.fence, hold.since, suspect(target)} end
  local key = known(uid)
  local rank = key and redis.call('ZRANK', line_of(target), place(uid, key))
  local before = hold or first(target)
  if not before or before.uid == uid then return {'free'} end
  return {'busy', before.key, before.uid, before.since, rank and rank + 1 or 0}
end
