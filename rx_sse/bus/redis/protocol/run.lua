-- KEYS: lease of a run, the partition's leases, its runs; ARGV: the verb, name, life of a run's record.
-- take: owner, ms, restart, key, resumes, most; renew: fence, ms; ask: reason; look: no more arguments.
-- The answer: the lease as names and values, the time, the topic's meta.
local key, leases, runs, what, name, life = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local now, r = clock(), {}
local tag = string.match(key, '^(.-}:)')

local function load()
  local all = redis.call('HGETALL', key)
  for n = 1, #all, 2 do r[all[n]] = all[n + 1] end
end

local function hold(ms)
  redis.call('HSET', key, 'until', number(now + ms))
  redis.call('PEXPIRE', key, life)
  redis.call('ZADD', leases, number(now + ms), name)
end

load()
-- The record outlives its run by a minute, so that its fences go on rising.
local over = r.state and r.state ~= 'running' and r.life and now >= r.since + r.life
if over and what ~= 'take' then return {{}, number(now), ''} end
if what == 'take' then
  local owner, ms, restart, own, resumes = ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7], ARGV[8]
  local again = over or (r.state and r.state ~= 'running' and (restart or (own ~= '' and own ~= r.key)))
  if not r.state or again then
    redis.call('HSET', key, 'generation', number((r.generation or 0) + 1), 'fence', number((r.fence or 0) + 1),
      'state', 'running', 'owner', owner, 'began', number(now), 'since', number(now), 'resumes', resumes,
      'key', own, 'entries', '0', 'asked', '')
    hold(ms)
    redis.call('ZADD', runs, number(now), name)
    redis.call('ZREMRANGEBYRANK', runs, 0, -tonumber(ARGV[9]) - 1)
  elseif r.state == 'running' then
    if r.owner == owner then
      hold(ms)
    elseif resumes == '1' and r.resumes == '1' and tonumber(r['until']) <= now then
      redis.call('HSET', key, 'owner', owner, 'fence', number(r.fence + 1))
      hold(ms)
    end
  end
elseif what == 'ask' and r.state == 'running' then
  redis.call('HSET', key, 'asked', ARGV[4])
elseif what == 'renew' and r.fence == ARGV[4] and r.state == 'running' then
  hold(tonumber(ARGV[5]))
end
load()
local topic = name
if r.generation and r.generation ~= '1' then topic = name .. '~' .. r.generation end
local meta = redis.call('GET', tag .. 'meta:run:' .. topic)
return {redis.call('HGETALL', key), number(now), meta or ''}
