-- Drop events that DataStorage has stored, remember that it has, and make their executions due.
-- ARGV[2] ms for which it is remembered, ARGV[3..] event id, uid, ns/name or '' where nobody waits for it, ...
-- Touches order, body, source, quarantine, acked, due. An event that is not buffered any more counts all the same; one
-- that another flusher saw refused meanwhile is stored.
-- Returns {ns/name, ...}, each once

local keys, seen = {}, {}
for i = 3, #ARGV, 3 do
  local id, acked, key = ARGV[i], acked_of(ARGV[i + 1]), ARGV[i + 2]
  drop(id)
  redis.call('HDEL', QUARANTINE, id)
  redis.call('SADD', acked, id)
  redis.call('PEXPIRE', acked, ARGV[2])
  if key ~= '' and not seen[key] then
    seen[key] = true
    keys[#keys + 1] = key
    want(DUE, key, now)
  end
end
return keys
