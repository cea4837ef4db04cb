-- Stands in front of every script: how any of them makes a key due.
-- {prefix}:due  ZSET  key -> ms at which it wants a pass
--   written by queue_*.lua, and by hold_*.lua and outbox_*.lua in the same step in which they give a reason to look.
-- An instant only ever moves earlier here; only a pass that starts takes it out.

local function want(due, key, ms)
  redis.call('ZADD', due, 'LT', ms, key)
end
