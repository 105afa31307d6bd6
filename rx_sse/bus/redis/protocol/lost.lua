-- KEYS: log and meta of topics; ARGV: for each an acknowledged position: id, seq, lineage.
-- The answer: the numbers of the positions that the log lost. Positions before its oldest entry were trimmed.
local answer = {}
for i = 1, #KEYS / 2 do
  local log, meta, at = KEYS[2 * i - 1], KEYS[2 * i], 3 * i - 2
  local id, seq, lineage = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local s = state(log, meta, '0')
  if not s.refused and id ~= number(s.seq) .. '-' .. s.nonce and not redis.call('XRANGE', log, id, id)[1] then
    local oldest, first, before = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1], s.seq + 1, s.nonce
    if oldest then
      local n, nonce, b = head(oldest)
      first, before = n or seq_of(oldest), b or ''
    end
    local is_base = id == number(first - 1) .. '-' .. before
    if not is_base and not (s.lineage == lineage and seq < first - 1) then answer[#answer + 1] = i end
  end
end
return answer
