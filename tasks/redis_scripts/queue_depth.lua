-- Count. Reads due and running.
-- Returns {due now (expired claims among them), due later, passes believed alive, now in us}

local expired = redis.call('ZCOUNT', RUNNING, '-inf', now)
return {
  redis.call('ZCOUNT', DUE, '-inf', now) + expired,
  redis.call('ZCOUNT', DUE, '(' .. string.format('%.0f', now), '+inf'),
  redis.call('ZCARD', RUNNING) - expired,
  now_us,
}
