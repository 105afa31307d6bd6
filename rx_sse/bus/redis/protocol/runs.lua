-- KEYS: for each partition its leases and its runs; ARGV: '1' for overdue runs only, the maximum of a partition.
-- The answer: names. Names in the sets whose runs are gone are removed.
local now, answer = clock(), {}
for i = 1, #KEYS, 2 do
  local tag = string.match(KEYS[i], '^(.-}:)')
  local which, found = KEYS[i], nil
  if ARGV[1] == '1' then
    found = redis.call('ZRANGEBYSCORE', which, '-inf', number(now), 'LIMIT', 0, 100)
  else
    which = KEYS[i + 1]
    found = redis.call('ZREVRANGE', which, 0, ARGV[2] - 1)
  end
  for _, name in ipairs(found) do
    if redis.call('EXISTS', tag .. 'run:' .. name) == 1 then
      answer[#answer + 1] = name
    else
      redis.call('ZREM', which, name)
    end
  end
end
return answer
