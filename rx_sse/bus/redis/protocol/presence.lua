-- KEYS: listeners of topics; ARGV: process, life, for each topic: the report of this process ('': nothing new,
-- '-': no listeners), whether it queries the topic. The answer: for each topic the other processes' reports. A
-- key that cannot be used affects its own topic only, and gives no reports.
local now, answer = clock(), {}
for i, key in ipairs(KEYS) do
  local said, asked, others = ARGV[2 * i + 1], ARGV[2 * i + 2], {}
  if said == '-' then
    redis.pcall('HDEL', key, ARGV[1])
  elseif said ~= '' then
    redis.pcall('HSET', key, ARGV[1], number(now + ARGV[2]) .. ' ' .. said)
    redis.pcall('PEXPIRE', key, ARGV[2])
  end
  if asked == '1' then
    local all = redis.pcall('HGETALL', key)
    for n = 1, failed(all) and 0 or #all, 2 do
      local till, members = string.match(all[n + 1], '^(%d+) (.*)$')
      if not till or tonumber(till) < now then
        redis.pcall('HDEL', key, all[n])
      elseif all[n] ~= ARGV[1] then
        others[#others + 1] = members
      end
    end
  end
  answer[i] = others
end
return answer
