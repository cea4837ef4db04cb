-- Say what a key holds or waits for, without having read its execution.
-- ARGV[2] ns/name
-- Reads only. Returns {'unknown'} when it has no target, or more than one; else {target, uid, then what hold_look.lua returns}

local uids = redis.call('HGET', OWNED, ARGV[2])
if not uids or uids:find(' ', 1, true) then return {'unknown'} end
local _, target = known(uids)
if not target then return {'unknown'} end
local answer = {target:sub(22), uids}
for _, value in ipairs(open() and view(target, uids) or {'closed'}) do answer[#answer + 1] = value end
return answer
