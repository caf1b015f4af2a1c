-- Admit many requests of one shard, each whole or not at all.
--
-- KEYS   1: holds hash; then for request i (from 0)  2+2i: key state hash, 3+2i: wallet hash
-- ARGV   for request i  1+4i: request id, 2+4i: hold in nano-dollars, 3+4i: the most tokens it may use,
--        4+4i: the id of the policy that it was judged by, '!' before it where the policy does not allow the request
-- reply  {now_ms, then for each request {outcome, rpm, rpm_level, rpd, rpd_level, left_nanos}}; where the key is known
--        and has limits that only some keys have, each list goes on with {tpm, tpm_level, max_open}, -1 for none
--
-- Units: levels in token-milliseconds (see metering/bucket.py), money in nano-dollars, time by this server's clock.
-- left_nanos is what the wallet has left, or what the budget has that refused.
-- Outcomes, in the order in which they are found out; the first that applies is the answer:
local ADMITTED, UNKNOWN_KEY, KEY_REFUSED, KEY_FROZEN, STALE_POLICY, POLICY_REFUSED = 0, 1, 2, 3, 4, 5
local OVER_MINUTE, OVER_DAY, OVER_TOKENS, TOO_MANY_OPEN, UNKNOWN_WALLET, WALLET_FROZEN = 6, 7, 8, 9, 10, 11
local OVER_BUDGET_DAY, OVER_BUDGET_MONTH, OVER_BUDGET_TOTAL, NO_FUNDS = 12, 13, 14, 15
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

-- The year times twelve plus the month, of a day counted from 1970 (Howard Hinnant's civil_from_days)
local function month_of(day)
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local leap_days = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year = math.floor((of_era - leap_days) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local from_march = math.floor((5 * of_year + 2) / 153)
  -- March is 0 and its year's third month
  return (year + era * 400) * 12 + from_march + 3
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- What only some keys have: read apart, so that the others do not pay for it.
local function limits_of(key)
  local l = redis.call('HMGET', key, 'tpm', 'max_open', 'tpm_level', 'tpm_ms', 'open', 'counting', 'used_total',
    'day', 'month', 'used_day', 'used_month', 'budget_day', 'budget_month', 'budget_total')
  local tpm, since_ms = tonumber(l[1]), tonumber(l[4]) or now_ms
  local today = math.floor(now_ms / DAY_MS)
  local limits = {
    tpm = tpm, tpm_level = tpm and refilled(tonumber(l[3]), tpm, MINUTE_MS, now_ms - since_ms),
    tpm_ms = math.max(now_ms, since_ms),
    max_open = tonumber(l[2]), open = tonumber(l[5]) or 0, counting = l[6] or '0', is_counted = l[7],
    day = today, month = month_of(today), used_total = tonumber(l[7]),
    budget_day = tonumber(l[12]), budget_month = tonumber(l[13]), budget_total = tonumber(l[14]),
  }
  if not l[7] then return limits end
  -- periods only go on: a clock that was set back must not empty a budget's count a second time
  local known_day, known_month = tonumber(l[8]), tonumber(l[9])
  limits.used_day = today > known_day and 0 or tonumber(l[10])
  limits.used_month = limits.month > known_month and 0 or tonumber(l[11])
  limits.day, limits.month = math.max(today, known_day), math.max(limits.month, known_month)
  return limits
end

local function over_rate(limits, tokens)
  if limits.tpm and (limits.tpm == 0 or limits.tpm_level < math.min(tokens, limits.tpm) * MINUTE_MS) then
    return OVER_TOKENS
  end
  if limits.max_open and limits.open >= limits.max_open then return TOO_MANY_OPEN end
end

-- the outcome, and what the budget has left
local function over_budget(limits, hold)
  local function refuses(budget, used) return budget and used + hold > budget end
  local l = limits
  if refuses(l.budget_day, l.used_day) then return OVER_BUDGET_DAY, l.budget_day - l.used_day end
  if refuses(l.budget_month, l.used_month) then return OVER_BUDGET_MONTH, l.budget_month - l.used_month end
  if refuses(l.budget_total, l.used_total) then return OVER_BUDGET_TOTAL, l.budget_total - l.used_total end
end

-- The request is noted at the key, whole: with what it took it is given back, once, whatever the wallet's hold becomes.
local function take(key, limits, request_id, hold, tokens)
  local taken = limits.tpm and math.min(tokens, limits.tpm) or 0
  if limits.tpm then
    limits.tpm_level = limits.tpm_level - taken * MINUTE_MS
    redis.call('HSET', key, 'tpm_level', integer(limits.tpm_level), 'tpm_ms', integer(limits.tpm_ms))
  end
  local note = {integer(hold), integer(taken), integer(limits.day), integer(limits.month), limits.counting}
  if redis.call('HSET', key, request_id, table.concat(note, ' ')) == 1 then redis.call('HINCRBY', key, 'open', 1) end
  if limits.is_counted then
    redis.call('HSET', key, 'day', integer(limits.day), 'month', integer(limits.month),
      'used_day', integer(limits.used_day), 'used_month', integer(limits.used_month))
    for _, name in ipairs({'used_day', 'used_month', 'used_total'}) do redis.call('HINCRBY', key, name, integer(hold)) end
  end
  redis.call('PERSIST', key)  -- with it, its open requests would be forgotten
end

local function admit(key, wallet, request_id, hold, tokens, judged)
  local k = redis.call('HMGET', key, 'active', 'expires_ms', 'rpm', 'rpd', 'rpm_level', 'rpd_level', 'buckets_ms',
    'special')
  if not k[1] then return {UNKNOWN_KEY, 0, 0, 0, 0, 0} end
  local expires_ms, rpm, rpd = tonumber(k[2]), tonumber(k[3]), tonumber(k[4])
  local since_ms = tonumber(k[7]) or now_ms
  local elapsed_ms = now_ms - since_ms
  local rpm_level = refilled(tonumber(k[5]), rpm, MINUTE_MS, elapsed_ms)
  local rpd_level = refilled(tonumber(k[6]), rpd, DAY_MS, elapsed_ms)
  local frozen, policy_id, limited = false, '', false
  if k[8] then frozen, policy_id, limited = unpack(redis.call('HMGET', key, 'frozen', 'policy_id', 'limited')) end
  local limits = limited and limits_of(key)
  local function answer(outcome, left)
    if not limits then return {outcome, rpm, rpm_level, rpd, rpd_level, left} end
    return {outcome, rpm, rpm_level, rpd, rpd_level, left, limits.tpm or -1, limits.tpm_level or -1, limits.max_open or -1}
  end

  if k[1] ~= '1' or (expires_ms > 0 and expires_ms <= now_ms) then return answer(KEY_REFUSED, 0) end
  if frozen then return answer(KEY_FROZEN, 0) end
  policy_id = policy_id or ''
  if judged == '!' .. policy_id then return answer(POLICY_REFUSED, 0) end
  if judged ~= policy_id then return answer(STALE_POLICY, 0) end
  if rpm == 0 or rpm_level < MINUTE_MS then return answer(OVER_MINUTE, 0) end
  if rpd == 0 or rpd_level < DAY_MS then return answer(OVER_DAY, 0) end
  local over = limits and over_rate(limits, tokens)
  if over then return answer(over, 0) end
  local w = redis.call('HMGET', wallet, 'balance', 'overdraft', 'held', 'unposted', 'frozen')
  if not w[1] then return answer(UNKNOWN_WALLET, 0) end
  if w[5] == '1' then return answer(WALLET_FROZEN, 0) end
  if limits and limits.is_counted then
    local spent, left = over_budget(limits, hold)
    if spent then return answer(spent, left) end
  end
  local available = tonumber(w[1]) + tonumber(w[2]) - (tonumber(w[3]) or 0) - (tonumber(w[4]) or 0)
  if hold > available then return answer(NO_FUNDS, available) end

  rpm_level, rpd_level = rpm_level - MINUTE_MS, rpd_level - DAY_MS
  -- the clock may have gone back: the mark never does, or the same stretch would refill twice
  redis.call('HSET', key, 'rpm_level', integer(rpm_level), 'rpd_level', integer(rpd_level),
    'buckets_ms', integer(math.max(now_ms, since_ms)))
  redis.call('PEXPIRE', key, KEY_STATE_TTL_MS)
  if limits then take(key, limits, request_id, hold, tokens) end
  redis.call('HINCRBY', wallet, 'held', integer(hold))
  redis.call('HSET', KEYS[1], request_id, integer(hold))
  return answer(ADMITTED, available - hold)
end

local reply = {now_ms}
for i = 0, #ARGV / 4 - 1 do
  local at = 4 * i
  reply[i + 2] = admit(KEYS[2 + 2 * i], KEYS[3 + 2 * i],
    ARGV[1 + at], tonumber(ARGV[2 + at]), tonumber(ARGV[3 + at]), ARGV[4 + at])
end
return reply
