-- Stands in front of every script: the clock all workers agree on. Tests put another one in its place.
-- Touches no key. time_us() returns microseconds since 1970; Lua numbers are exact up to 2^53, the year 2255.

local function time_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
