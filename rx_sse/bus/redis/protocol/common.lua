-- What the scripts share. Numbers leave Lua through `number` alone.

local MOST = 9007199254740991 -- the largest sequence number

local function number(n) return string.format('%.0f', n) end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function failed(answer) return type(answer) == 'table' and answer.err or nil end

local function seq_of(entry) return tonumber(string.match(entry[1], '^(%d+)')) end

-- The sequence number, nonce, nonce before, time and total of an entry; nil for an entry of another program.
local function head(entry)
  local seq, nonce = string.match(entry[1], '^(%d+)-(%d+)$')
  local fields = entry[2]
  if fields[1] ~= 'h' or fields[3] ~= 'e' then return nil end
  local before, at, total = string.match(fields[2], '^(%d+) (%d+) (%d+)$')
  if not before or #nonce > 15 or #before > 15 or #at > 16 or #total > 16 then return nil end
  seq = tonumber(seq)
  if seq < 1 or seq >= MOST then return nil end
  return seq, nonce, before, tonumber(at), tonumber(total)
end

-- The metadata of a topic from its log, if the stored metadata is lost or older. After an entry of another
-- program the chain continues from a position that was never an entry, so that readers get a gap there.
local function rebuilt(log, fresh)
  local page = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if failed(page) then return {refused = '!' .. page.err} end
  local last = page[1]
  if not last then
    return {seq = 0, nonce = fresh, lineage = fresh, total = 0, front = 0, ended = '0', fences = '', new = true}
  end
  local seq, nonce, before, at, total = head(last)
  if seq then
    return {seq = seq, nonce = nonce, lineage = fresh, total = total, front = 0, fences = '', new = true,
            ended = string.sub(last[2][4], 2, 2) == 'x' and '1' or '0'}
  end
  seq, total = seq_of(last), 0
  if seq >= MOST then
    return {refused = '!FOREIGN entry ' .. last[1] .. ' in ' .. log .. ' leaves no number for the next one: '
                      .. 'remove it (XDEL), or the whole key'}
  end
  for _, entry in ipairs(redis.call('XREVRANGE', log, '+', '-', 'COUNT', 100)) do
    local readable, _, _, _, t = head(entry)
    if readable then total = t break end
  end
  return {seq = seq, nonce = fresh, lineage = fresh, total = total, front = 0, ended = '0', fences = '',
          new = true}
end

-- The metadata of a topic; if it is lost, made from the log; if that is lost too, a new beginning.
local function state(log, meta, fresh)
  local said = redis.pcall('GET', meta)
  if failed(said) then return {refused = '!' .. said.err} end
  if said then
    local seq, nonce, lineage, total, front, ended, fences =
      string.match(said, '^(%d+) (%d+) (%d+) (%d+) (%d+) ([01])(.*)$')
    if seq and #nonce <= 15 and #lineage <= 15 and #total <= 16 and #front <= 16 and tonumber(seq) < MOST then
      return {seq = tonumber(seq), nonce = nonce, lineage = lineage, total = tonumber(total),
              front = tonumber(front), ended = ended, fences = fences}
    end
  end
  return rebuilt(log, fresh)
end

-- Take over the log's state; the topic's beginning stays.
local function corrected(s, fresh)
  local r = rebuilt(s.log, fresh)
  if r.refused then
    s.refused = r.refused
  else
    s.seq, s.nonce, s.total, s.front, s.ended, s.new = r.seq, r.nonce, r.total, r.front, r.ended, true
  end
end

local function text(s)
  return number(s.seq) .. ' ' .. s.nonce .. ' ' .. s.lineage .. ' ' .. number(s.total) .. ' '
         .. number(s.front) .. ' ' .. s.ended .. s.fences
end
