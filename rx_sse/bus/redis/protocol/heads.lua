-- KEYS: metas; ARGV: life of a topic's metadata, life of a beginning, for each topic '1' if it is listened to
-- permanently. The answer: each topic's meta, whose life restarts, or nil. A beginning without a publish
-- lives as long as a topic only while a reader stays.
local answer = {}
for i, meta in ipairs(KEYS) do
  local said = redis.pcall('GET', meta)
  if failed(said) then said = false end
  answer[i] = said
  if said then
    local brief = string.sub(said, 1, 2) == '0 ' and ARGV[2 + i] ~= '1'
    local done = redis.pcall('PEXPIRE', meta, brief and ARGV[2] or ARGV[1], 'GT')
    if failed(done) and string.find(done.err, '^READONLY') then return redis.error_reply(done.err) end
  end
end
return answer
