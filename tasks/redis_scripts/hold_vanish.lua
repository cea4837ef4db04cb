-- Clean up after an execution that the API server no longer knows: free what it held, drop its place.
-- ARGV[2] ns/name, ARGV[3] the uid that is gone, or '' for every uid that ever had this name
-- Touches everything of its target; changes nothing while the gate is closed.
-- Returns {'closed'} | {'open', ns/name of those that may go on, ...}

if not open() then return {'closed'} end
local woken = {'open'}
for uid in (redis.call('HGET', OWNED, ARGV[2]) or ''):gmatch('%S+') do
  if ARGV[3] == '' or ARGV[3] == uid then
    local key, target = known(uid)
    local hold = holder(target)
    drop_place(target, uid, key)
    if hold and hold.uid == uid then free(target, uid, key) else forget(uid, key) end
    wake_first(target, woken)
  end
end
return woken
