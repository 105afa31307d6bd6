-- KEYS: log and meta of each topic, then idempotency keys and leases of runs
-- ARGV: topics, the command that announces, window, the publisher's name and number, whether to leave it;
--       for each topic: channel, fresh nonce, entries, bytes, age;
--       for each entry: topic, nonce, text, key (0: none), fingerprint, life, traceparent ('' for none)
-- A fingerprint "#fence:state" is the claim of a run: its key is that of the lease.
-- A window of 0: no entry was sent before; otherwise the entries of the last `window` ms are searched for nonces.
-- A publisher that abandons a connection raises its number, and stores it with the topics of the calls in
-- flight: a call that the connection still delivers is refused.
-- The answer: for each topic its lineage and the nonce of the entry before the new ones, for each entry its
-- position, or what refuses it.
local topics, announce, window = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local name, mine, leave = ' ' .. ARGV[4] .. ':', tonumber(ARGV[5]), ARGV[6] == '1'
local now = clock()
local states, known, answer, at = {}, {}, {}, 7

-- The positions, by nonce, of the entries of topic i that were stored within the window.
local function search(i, s)
  local upto, looked = '+', 0
  while upto and looked < 20000 do
    local page = redis.pcall('XREVRANGE', s.log, upto, '-', 'COUNT', 100)
    if failed(page) then s.refused = '!' .. page.err return end
    upto = nil
    for _, entry in ipairs(page) do
      local seq, nonce, before, when = head(entry)
      if seq then known[i .. ' ' .. nonce] = entry[1] end
      upto = '(' .. entry[1]
      if seq and now - when > window then upto = nil break end
    end
    looked = looked + #page
  end
end

local function begin(i, s)
  s.first, s.before = (s.seq or 0) + 1, s.nonce or '0'
  answer[i] = (s.lineage or '0') .. ' ' .. s.before
end

for i = 1, topics do
  local log, meta = KEYS[2 * i - 1], KEYS[2 * i]
  local s = state(log, meta, ARGV[at + 1])
  if s.fences and s.fences ~= '' then
    local least = string.match(s.fences, name .. '(%d+)')
    if least and tonumber(least) > mine then
      return redis.error_reply('FENCED its publisher has given this connection up')
    end
  end
  s.log, s.meta, s.channel, s.fresh = log, meta, ARGV[at], ARGV[at + 1]
  s.entries, s.bytes, s.age, s.heads, s.texts = ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4], {}, {}
  begin(i, s)
  if window > 0 and not s.refused then search(i, s) end
  states[i] = s
  at = at + 5
end

-- The numbers of the last eight publishers that lost a reply here.
local function fenced(s)
  local others, count = '', 0
  for other, least in string.gmatch(s.fences, ' (%w+):(%d+)') do
    if ' ' .. other .. ':' ~= name and count < 7 then
      others, count = others .. ' ' .. other .. ':' .. least, count + 1
    end
  end
  s.fences = name .. number(mine) .. others
end

local function add(s, nonce, packed, trace)
  local total = s.total + #packed + 100
  local id = number(s.seq + 1) .. '-' .. nonce
  local h = s.nonce .. ' ' .. number(now) .. ' ' .. number(total)
  if trace ~= '' then
    return id, total, redis.pcall('XADD', s.log, 'MAXLEN', '~', s.entries, id, 'h', h, 'e', packed, 't', trace)
  end
  return id, total, redis.pcall('XADD', s.log, 'MAXLEN', '~', s.entries, id, 'h', h, 'e', packed)
end

-- The log reaches further than its metadata: it was restored, another program wrote here, or
-- the newest entries were removed by hand, whose number the stream keeps.
local function catch_up(i, s)
  corrected(s, s.fresh)
  if s.refused then return end
  local info = redis.pcall('XINFO', 'STREAM', s.log)
  for n = 1, failed(info) and 0 or #info, 2 do
    if info[n] == 'last-generated-id' then
      local seq = tonumber(string.match(info[n + 1], '^(%d+)'))
      if seq > s.seq and seq < MOST then s.seq, s.nonce = seq, s.fresh end
    end
  end
  begin(i, s)
end

-- Why an entry of a run may not be stored: it has ended, or has another owner; nothing if it may.
-- The entries of a batch have mostly one claim, which holds or lapses for all of them until one ends the run.
local claims = {}

local function outdated(key, fence, ending)
  local said = redis.pcall('HMGET', key, 'fence', 'state', 'until')
  if failed(said) then return '!' .. said.err end
  if said[1] ~= fence or said[2] ~= 'running' or (ending == 'lost' and tonumber(said[3]) > now) then
    return '!LEASE the run has ended, or has another owner'
  end
end

-- The entry that was just stored ends its run.
local function finished(s, key, state, life)
  s.life = life
  redis.pcall('HSET', key, 'state', state, 'since', number(now), 'entries', number(s.seq - 1), 'life', number(life))
  redis.pcall('PEXPIRE', key, number(life + 60000))
  redis.pcall('ZREM', string.match(key, '^(.-}:)') .. 'leases', string.match(key, '}:run:(.*)$'))
end

for place = at, #ARGV, 7 do
  local i = tonumber(ARGV[place])
  local s = states[i]
  local nonce, packed, key = ARGV[place + 1], ARGV[place + 2], KEYS[tonumber(ARGV[place + 3])]
  local stored = known[ARGV[place] .. ' ' .. nonce]
  local said, claim = ARGV[place + 4], key and claims[key]
  if key and not (claim and claim.said == said) then
    local fence, ending = string.match(said, '^#(%d+):(%l*)$')
    claim = fence and {said = said, ending = ending, lapsed = not stored and outdated(key, fence, ending)}
    if not stored then claims[key] = claim end
  end
  local lapsed = claim and claim.lapsed
  if key and not stored and not claim then
    local used = redis.pcall('GET', key)
    if failed(used) then
      s.refused = s.refused or '!' .. used.err
    elseif used then
      local fingerprint, position = string.match(used, '^(%S+) (%S+)$')
      stored = fingerprint == said and position or '!used'
    end
  end
  if stored then
    s.found = true
    answer[#answer + 1] = stored
  elseif s.refused or lapsed then
    answer[#answer + 1] = s.refused or lapsed
  else
    local trace = ARGV[place + 6]
    local id, total, done = add(s, nonce, packed, trace)
    if failed(done) and not s.written and string.find(done.err, 'equal or smaller', 1, true) then
      catch_up(i, s)
      if not s.refused then id, total, done = add(s, nonce, packed, trace) end
    end
    if failed(done) then
      s.refused = s.refused or '!' .. done.err
      answer[#answer + 1] = s.refused
    else
      s.seq, s.nonce, s.total, s.written = s.seq + 1, nonce, total, true
      s.ended = string.sub(packed, 2, 2) == 'x' and '1' or '0'
      s.heads[#s.heads + 1] = nonce .. ':' .. #packed .. (trace ~= '' and ':' .. trace or '')
      s.texts[#s.texts + 1] = packed
      if claim then
        if claim.ending ~= '' then
          finished(s, key, claim.ending, ARGV[place + 5])
          claims[key] = nil
        end
      elseif key then redis.pcall('SET', key, said .. ' ' .. id, 'PX', ARGV[place + 5]) end
      answer[#answer + 1] = id
    end
  end
end

-- Nothing after the first write may raise: stored entries would be answered with an error.
local function trim(s)
  -- Streams count entries, not bytes or years: look at the front when the bytes are over, and now and then.
  local over = s.total - s.front > s.bytes
  if not over and s.seq % 128 >= #s.heads then return end
  local cut, from, old = nil, '-', now - s.age
  local limit = over and s.bytes * 0.9 or s.bytes
  while from do
    local page = redis.pcall('XRANGE', s.log, from, '+', 'COUNT', 32)
    from = nil
    if failed(page) then return end
    for _, entry in ipairs(page) do
      local seq, nonce, before, when, total = head(entry)
      local size = seq and #entry[2][4] + 100
      if seq and (seq == s.seq or (s.total - total + size <= limit and when > old)) then
        s.front, cut, from = total - size, entry[1], nil
        break
      end
      from = '(' .. entry[1]
    end
  end
  if cut then redis.pcall('XTRIM', s.log, 'MINID', cut) end
end

for _, s in ipairs(states) do
  if leave and not s.refused then fenced(s) end
  if s.found and not s.written and not s.refused then
    -- A WAIT after this call must cover the entries found. Valkey counts the connection's own writes.
    redis.pcall('SET', s.meta, text(s), 'PX', number(s.age + 60000))
  end
  if s.written then
    trim(s)
    redis.pcall('SET', s.meta, text(s), 'PX', number((s.life or s.age) + 60000))
    redis.pcall('PEXPIRE', s.log, s.life or s.age)
    redis.pcall(announce, s.channel, number(s.first) .. ' ' .. s.before .. ' ' .. number(now) .. ' '
                .. table.concat(s.heads, ' ') .. '\n' .. table.concat(s.texts))
  end
end
return answer
