"""What runs in Redis, each in one atomic step.

A topic's meta lives a minute longer than its entries. It is a string of six numbers: ``seq nonce lineage
total front ended``. `seq` and `nonce` are the last position; `lineage` is the nonce of the topic's
beginning; `total` counts the bytes that were ever stored, `front` those that were already trimmed when
somebody last looked.

A stream entry has its position as its id, and two fields: ``h`` holds ``<nonce of the entry before> <time
in ms> <total after it>`` (its `seq` is one less, so it is not stored), ``e`` the text as `codec` packs it.

Standard: Redis 7.0's Lua, effects replicated. Numbers leave Lua through ``string.format('%.0f')`` alone,
and no random number is made here: a script's are the same after every start of a server.
Never: a write before everything that may be refused has been computed; the first write is the ``XADD``. An
entry that cannot be added refuses the ones of its topic behind it, and no other topic's.
"""

from __future__ import annotations

import hashlib
from typing import Final


class Script:
    """A script and the digest by which a server remembers it."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.digest: Final = hashlib.sha1(text.encode()).hexdigest()


_COMMON = """
local function number(n) return string.format('%.0f', n) end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function head(entry)
  local seq, nonce = string.match(entry[1], '^(%d+)-(%d+)$')
  local before, at, total = string.match(entry[2][2], '^(%d+) (%d+) (%d+)$')
  return tonumber(seq), nonce, before, tonumber(at), tonumber(total)
end

-- What is known of a topic; where its meta was lost, what the log says; where that is lost too, a beginning.
local function state(log, meta, fresh)
  local said = redis.pcall('GET', meta)
  if type(said) == 'table' then return {refused = '!' .. said.err} end
  if said then
    local seq, nonce, lineage, total, front, ended =
      string.match(said, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d)$')
    if seq then
      return {seq = tonumber(seq), nonce = nonce, lineage = lineage, total = tonumber(total),
              front = tonumber(front), ended = ended}
    end
  end
  local last = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if last.err then return {refused = '!' .. last.err} end
  last = last[1]
  if not last then
    return {seq = 0, nonce = fresh, lineage = fresh, total = 0, front = 0, ended = '0', new = true}
  end
  local seq, nonce, before, at, total = head(last)
  return {seq = seq, nonce = nonce, lineage = fresh, total = total, front = 0, new = true,
          ended = string.sub(last[2][4], 2, 2) == 'x' and '1' or '0'}
end

local function text(s)
  return number(s.seq) .. ' ' .. s.nonce .. ' ' .. s.lineage .. ' ' .. number(s.total) .. ' '
         .. number(s.front) .. ' ' .. s.ended
end
"""

APPEND: Final = Script(
    _COMMON
    + """
-- KEYS: log and meta of each topic, then idempotency keys
-- ARGV: topics, the command that announces, window;
--       for each topic: channel, fresh nonce, entries, bytes, age;
--       for each entry: topic, nonce, text, key (0: none), fingerprint, life
-- A window of 0 says that no entry was sent before; otherwise those of so many ms are searched for nonces.
-- The answer: for each topic its lineage and the nonce of the entry before the new ones, for each entry its
-- position, or what refuses it.
local topics, announce, window = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local now = clock()
local states, known, answer, at = {}, {}, {}, 4
for i = 1, topics do
  local log = KEYS[2 * i - 1]
  local s = state(log, KEYS[2 * i], ARGV[at + 1])
  s.log, s.meta, s.channel = log, KEYS[2 * i], ARGV[at]
  s.entries, s.bytes, s.age, s.heads, s.texts = ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4], {}, {}
  s.first, s.before = (s.seq or 0) + 1, s.nonce or '0'
  if window > 0 and not s.refused then
    local upto, looked = '+', 0
    while upto and looked < 20000 do
      local page = redis.call('XREVRANGE', log, upto, '-', 'COUNT', 100)
      upto = nil
      for _, entry in ipairs(page) do
        local seq, nonce, before, when = head(entry)
        known[i .. ' ' .. nonce] = entry[1]
        upto = '(' .. entry[1]
        if now - when > window then upto = nil break end
      end
      looked = looked + #page
    end
  end
  states[i], answer[i] = s, (s.lineage or '0') .. ' ' .. s.before
  at = at + 5
end
for place = at, #ARGV, 6 do
  local s = states[tonumber(ARGV[place])]
  local nonce, packed, key = ARGV[place + 1], ARGV[place + 2], KEYS[tonumber(ARGV[place + 3])]
  local stored = known[ARGV[place] .. ' ' .. nonce]
  if key and not stored then
    local used = redis.pcall('GET', key)
    if type(used) == 'table' then
      s.refused = s.refused or '!' .. used.err
    elseif used then
      local fingerprint, position = string.match(used, '^(%S+) (%S+)$')
      stored = fingerprint == ARGV[place + 4] and position or '!used'
    end
  end
  if stored then
    s.found = true
    answer[#answer + 1] = stored
  elseif s.refused then
    answer[#answer + 1] = s.refused
  else
    local total = s.total + #packed + 100
    local id = number(s.seq + 1) .. '-' .. nonce
    local h = s.nonce .. ' ' .. number(now) .. ' ' .. number(total)
    local done = redis.pcall('XADD', s.log, 'MAXLEN', '~', s.entries, id, 'h', h, 'e', packed)
    if type(done) == 'table' and done.err then
      s.refused = '!' .. done.err
      answer[#answer + 1] = s.refused
    else
      s.seq, s.nonce, s.total, s.written = s.seq + 1, nonce, total, true
      s.ended = string.sub(packed, 2, 2) == 'x' and '1' or '0'
      s.heads[#s.heads + 1] = nonce .. ':' .. #packed
      s.texts[#s.texts + 1] = packed
      if key then redis.call('SET', key, ARGV[place + 4] .. ' ' .. id, 'PX', ARGV[place + 5]) end
      answer[#answer + 1] = id
    end
  end
end
for _, s in ipairs(states) do
  if s.found and not s.written and not s.refused then
    -- A WAIT behind this call shall speak of what was found. Valkey counts the connection's own writes.
    redis.pcall('SET', s.meta, text(s), 'PX', number(s.age + 60000))
  end
  if s.written then
    -- Streams count entries, not bytes or years: look at the front when the bytes are over, and now and then.
    local over = s.total - s.front > s.bytes
    if over or s.seq % 128 < #s.heads then
      local cut, from, old = nil, '-', now - s.age
      local limit = over and s.bytes * 0.9 or s.bytes
      while from do
        local page = redis.call('XRANGE', s.log, from, '+', 'COUNT', 32)
        from = nil
        for _, entry in ipairs(page) do
          local seq, nonce, before, when, total = head(entry)
          local size = #entry[2][4] + 100
          if seq == s.seq or (s.total - total + size <= limit and when > old) then
            s.front, cut, from = total - size, entry[1], nil
            break
          end
          from = '(' .. entry[1]
        end
      end
      if cut then redis.call('XTRIM', s.log, 'MINID', cut) end
    end
    redis.call('SET', s.meta, text(s), 'PX', number(s.age + 60000))
    redis.call('PEXPIRE', s.log, s.age)
    redis.pcall(announce, s.channel, number(s.first) .. ' ' .. s.before .. ' ' .. number(now) .. ' '
                .. table.concat(s.heads, ' ') .. '\\n' .. table.concat(s.texts))
  end
end
return answer
"""
)

PAGE: Final = Script(
    _COMMON
    + """
-- KEYS: log, meta; ARGV: fresh nonce, age, seq and nonce of the position ('' for none), last, entries, bytes
-- The answer: meta, the base, the position where it begins, the time, the entries.
local log, meta = KEYS[1], KEYS[2]
local s = state(log, meta, ARGV[1])
if s.refused then return redis.error_reply(string.sub(s.refused, 2)) end
local base = number(s.seq) .. '-' .. s.nonce
local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
local first = s.seq + 1
if oldest then
  local seq, nonce, before = head(oldest)
  base, first = number(seq - 1) .. '-' .. before, seq
end
local from, start = s.seq + 1, number(s.seq) .. '-' .. s.nonce
if ARGV[3] == '' then
  from = math.max(first, s.seq + 1 - tonumber(ARGV[5]))
  start = nil
else
  local id = ARGV[3] .. '-' .. ARGV[4]
  if id == start then
    from = s.seq + 1
  elseif id == base or redis.call('XRANGE', log, id, id)[1] then
    from, start = tonumber(ARGV[3]) + 1, id
  else
    from = math.max(first, tonumber(ARGV[3]) + 1)
    start = nil
  end
end
local entries, room, bytes = {}, tonumber(ARGV[6]), tonumber(ARGV[7])
local cursor = number(from)
while cursor and room > 0 do
  local page = redis.call('XRANGE', log, cursor, '+', 'COUNT', math.min(room, 50))
  cursor = nil
  for _, entry in ipairs(page) do
    local seq, nonce, before = head(entry)
    if not start then start = number(seq - 1) .. '-' .. before end
    bytes = bytes - #entry[2][4] - 100
    if bytes < 0 and #entries > 0 then cursor = nil break end
    entries[#entries + 1] = {entry[1], entry[2][2], entry[2][4]}
    room = room - 1
    cursor = '(' .. entry[1]
  end
end
local said = text(s)
if s.new then redis.call('SET', meta, said, 'PX', ARGV[2]) else redis.call('PEXPIRE', meta, ARGV[2], 'GT') end
return {said, base, start or (number(s.seq) .. '-' .. s.nonce), number(clock()), entries}
"""
)

HEADS: Final = Script(
    """
-- KEYS: metas; ARGV: age. The answer: each topic's meta, whose life begins again, or nil.
local answer = {}
for i, meta in ipairs(KEYS) do
  answer[i] = redis.call('GET', meta)
  if answer[i] then redis.call('PEXPIRE', meta, ARGV[1], 'GT') end
end
return answer
"""
)

LOST: Final = Script(
    _COMMON
    + """
-- KEYS: log and meta of topics; ARGV: for each a position that was acknowledged: id, seq, lineage.
-- The answer: the numbers of those which the log took back. What it does not reach back to was trimmed.
local answer = {}
for i = 1, #KEYS / 2 do
  local log, meta, at = KEYS[2 * i - 1], KEYS[2 * i], 3 * i - 2
  local id, seq, lineage = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local s = state(log, meta, '0')
  if not s.refused and id ~= number(s.seq) .. '-' .. s.nonce and not redis.call('XRANGE', log, id, id)[1] then
    local oldest, first, before = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1], s.seq + 1, s.nonce
    if oldest then
      local n, nonce, b = head(oldest)
      first, before = n, b
    end
    local is_base = id == number(first - 1) .. '-' .. before
    if not is_base and not (s.lineage == lineage and seq < first - 1) then answer[#answer + 1] = i end
  end
end
return answer
"""
)

PRESENCE: Final = Script(
    _COMMON
    + """
-- KEYS: who listens to topics; ARGV: process, life, for each topic: what this process says ('': nothing new,
-- '-': nobody), whether it wants to know. The answer: for each topic what the other processes say.
local now, answer = clock(), {}
for i, key in ipairs(KEYS) do
  local said, asked, others = ARGV[2 * i + 1], ARGV[2 * i + 2], {}
  if said == '-' then
    redis.call('HDEL', key, ARGV[1])
  elseif said ~= '' then
    redis.call('HSET', key, ARGV[1], number(now + ARGV[2]) .. ' ' .. said)
    redis.call('PEXPIRE', key, ARGV[2])
  end
  if asked == '1' then
    local all = redis.call('HGETALL', key)
    for n = 1, #all, 2 do
      local till, members = string.match(all[n + 1], '^(%d+) (.*)$')
      if not till or tonumber(till) < now then
        redis.call('HDEL', key, all[n])
      elseif all[n] ~= ARGV[1] then
        others[#others + 1] = members
      end
    end
  end
  answer[i] = others
end
return answer
"""
)
