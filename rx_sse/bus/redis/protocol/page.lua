-- KEYS: log, meta; ARGV: fresh nonce, life of a topic's metadata, life of a beginning without a publish,
--       id and seq of the position ('' for none), last, entries, bytes
-- The answer: meta, the base, whether the position is valid, the time, the library's entries after it.
-- The reader of the page checks whether they link.
local log, meta, fresh = KEYS[1], KEYS[2], ARGV[1]
local s = state(log, meta, fresh)
s.log = log
local newest = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
if failed(newest) then return redis.error_reply(newest.err) end
if not s.refused and newest[1] and seq_of(newest[1]) > s.seq then corrected(s, fresh) end
if s.refused then return redis.error_reply(string.sub(s.refused, 2)) end

local start = number(s.seq) .. '-' .. s.nonce
local base, first, oldest = start, s.seq + 1, redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
if oldest[1] and not head(oldest[1]) then oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 100) end
for _, entry in ipairs(oldest) do
  local seq, nonce, before = head(entry)
  if seq then
    base, first = number(seq - 1) .. '-' .. before, seq
    break
  end
end

local id, valid, from = ARGV[4], 0, nil
if id == '' then
  from = math.max(first, s.seq + 1 - tonumber(ARGV[6]))
else
  from = tonumber(ARGV[5]) + 1
  if id == start or id == base or redis.call('XRANGE', log, id, id)[1] then
    valid = 1
  else
    from = math.max(first, from)
  end
end
local entries, room, bytes, looked = {}, tonumber(ARGV[7]), tonumber(ARGV[8]), 0
local cursor = id ~= start and number(from) or nil
while cursor and room > 0 and looked < 10000 do
  local page = redis.call('XRANGE', log, cursor, '+', 'COUNT', math.min(room, 50))
  cursor, looked = nil, looked + #page
  for _, entry in ipairs(page) do
    if head(entry) then
      bytes = bytes - #entry[2][4] - 100
      if bytes < 0 and #entries > 0 then cursor = nil break end
      entries[#entries + 1] = {entry[1], entry[2][2], entry[2][4], entry[2][5] == 't' and entry[2][6] or nil}
      room = room - 1
    end
    cursor = '(' .. entry[1]
  end
end

-- Reading does not depend on a write. A beginning that cannot be stored is not returned, though: the next
-- reader would get another one.
local said, life, done = text(s), s.seq == 0 and ARGV[3] or ARGV[2], nil
if s.new then
  done = failed(redis.pcall('SET', meta, said, 'PX', life))
else
  done = failed(redis.pcall('PEXPIRE', meta, life, 'GT'))
end
if done and (string.find(done, '^READONLY') or (s.new and s.seq == 0)) then return redis.error_reply(done) end
return {said, base, valid, number(clock()), entries}
