-- Become the one flusher.
-- ARGV[2] ms after which the turn ends by itself
-- Touches turn. Returns the token, nil when another one is at it

local token = string.format('%.0f', now_us)
if redis.call('SET', TURN, token, 'NX', 'PX', ARGV[2]) then return token end
return nil
