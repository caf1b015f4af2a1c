-- Admit many requests of one shard, each whole or not at all.
--
-- KEYS   1: holds hash; then for request i (from 0)  2+2i: key state hash, 3+2i: wallet hash
-- ARGV   for request i  1+2i: request id, 2+2i: hold in nano-dollars
-- reply  {now_ms, then for each request {outcome, rpm, rpm_level, rpd, rpd_level, available_nanos}}
--
-- Units: levels in token-milliseconds (see metering/bucket.py), money in nano-dollars, time by this server's clock.
-- Outcomes, in the order in which they are found out; the first that applies is the answer:
local ADMITTED, UNKNOWN_KEY, KEY_REFUSED, OVER_MINUTE, OVER_DAY, UNKNOWN_WALLET, NO_FUNDS = 0, 1, 2, 3, 4, 5, 6
local MINUTE_MS, DAY_MS = 60000, 86400000
-- A bucket is full again after a day of rest; forgetting it after two loses nothing.
local KEY_STATE_TTL_MS = 2 * DAY_MS

-- tostring() would write 1e+15
local function integer(n) return string.format('%.0f', n) end

local function refilled(level, capacity, period_ms, elapsed_ms)
  local full = capacity * period_ms
  if not level then return full end
  return math.min(full, level + math.max(0, elapsed_ms) * capacity)
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function admit(key, wallet, request_id, hold)
  local k = redis.call('HMGET', key, 'active', 'expires_ms', 'rpm', 'rpd', 'rpm_level', 'rpd_level', 'buckets_ms')
  if not k[1] then return {UNKNOWN_KEY, 0, 0, 0, 0, 0} end
  local expires_ms, rpm, rpd = tonumber(k[2]), tonumber(k[3]), tonumber(k[4])
  local since_ms = tonumber(k[7]) or now_ms
  local elapsed_ms = now_ms - since_ms
  local rpm_level = refilled(tonumber(k[5]), rpm, MINUTE_MS, elapsed_ms)
  local rpd_level = refilled(tonumber(k[6]), rpd, DAY_MS, elapsed_ms)
  local function answer(outcome, available)
    return {outcome, rpm, rpm_level, rpd, rpd_level, available}
  end

  if k[1] ~= '1' or (expires_ms > 0 and expires_ms <= now_ms) then return answer(KEY_REFUSED, 0) end
  if rpm == 0 or rpm_level < MINUTE_MS then return answer(OVER_MINUTE, 0) end
  if rpd == 0 or rpd_level < DAY_MS then return answer(OVER_DAY, 0) end
  local w = redis.call('HMGET', wallet, 'balance', 'overdraft', 'held', 'unposted')
  if not w[1] then return answer(UNKNOWN_WALLET, 0) end
  local available = tonumber(w[1]) + tonumber(w[2]) - (tonumber(w[3]) or 0) - (tonumber(w[4]) or 0)
  if hold > available then return answer(NO_FUNDS, available) end

  rpm_level, rpd_level = rpm_level - MINUTE_MS, rpd_level - DAY_MS
  -- the clock may have gone back: the mark never does, or the same stretch would refill twice
  redis.call('HSET', key, 'rpm_level', integer(rpm_level), 'rpd_level', integer(rpd_level),
    'buckets_ms', integer(math.max(now_ms, since_ms)))
  redis.call('PEXPIRE', key, KEY_STATE_TTL_MS)
  redis.call('HINCRBY', wallet, 'held', integer(hold))
  redis.call('HSET', KEYS[1], request_id, integer(hold))
  return answer(ADMITTED, available - hold)
end

local reply = {now_ms}
for i = 0, #ARGV / 2 - 1 do
  reply[i + 2] = admit(KEYS[2 + 2 * i], KEYS[3 + 2 * i], ARGV[1 + 2 * i], tonumber(ARGV[2 + 2 * i]))
end
return reply
