-- Stands in front of every outbox_*.lua. An event is buffered until DataStorage has acknowledged it; its fact stays
-- in the execution's status until the pass that is made due by that has trimmed it, so nothing here is irreplaceable.
--
-- KEYS, all written by outbox_*.lua only (`due` also by the queue and the holds):
--   1 {prefix}:due                ZSET    see due.lua
--   2 {prefix}:outbox:order       ZSET    event id -> place in the order, microseconds; grows within the buffer
--   3 {prefix}:outbox:body        HASH    event id -> JSON
--   4 {prefix}:outbox:source      HASH    event id -> "uid ns/name awaited" of its execution
--   5 {prefix}:outbox:quarantine  HASH    event id -> JSON {uid, key, problem, document, body}: DataStorage will never take it
--   6 {prefix}:outbox:turn        STRING  token of the one flusher; expires, for a flusher can die
--   7 {prefix}:outbox:backoff     HASH    until (ms before which nobody flushes), failures (in a row), words (at the last)
-- and for each execution with acknowledged facts that are not trimmed yet:
--     {prefix}:acked:<uid>        SET     of event ids; expires after a day, then they are sent and acknowledged again
-- ARGV[1] prefix; each script has its own from ARGV[2].

local DUE, ORDER, BODY, SOURCE, QUARANTINE, TURN, BACKOFF = unpack(KEYS)
local now_us = time_us()
local now = math.floor(now_us / 1000)

local function acked_of(uid) return ARGV[1] .. ':acked:' .. uid end

local function drop(id)
  redis.call('ZREM', ORDER, id)
  redis.call('HDEL', BODY, id)
  redis.call('HDEL', SOURCE, id)
end
