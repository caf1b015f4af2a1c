-- Admit many requests of one shard, each whole or not at all. Comes after shared.lua and key_limits.lua.
--
-- KEYS   1: holds hash, 2: usage stream; then for request i (from 0)  3+2i: key state hash, 4+2i: wallet hash
-- ARGV   1: lease in milliseconds, 2: the most events that may wait to be posted; then for request i
--        3+5i: request id, 4+5i: hold in nano-dollars, 5+5i: the least hold that will do,
--        6+5i: the most tokens it may use, 7+5i: the id of the policy that it was judged by, '!' before it where the
--        policy does not allow the request
-- reply  {now_ms, then for each request {outcome, rpm, rpm_level, rpd, rpd_level, left_nanos, held_nanos}}; where the
--        key is known and has limits that only some keys have, each list goes on with {tpm, tpm_level, max_open}, -1 for none
--
-- A hold that wallet and budgets cannot pay is lowered to what they have, if that is the least that will do, or more.
-- left_nanos is what the wallet has left, or what the budget has that refused.
-- Outcomes, in the order in which they are found out; the first that applies is the answer:
local ADMITTED, UNKNOWN_KEY, KEY_REFUSED, KEY_FROZEN, STALE_POLICY, POLICY_REFUSED, BACKLOGGED = 0, 1, 2, 3, 4, 5, 6
local OVER_MINUTE, OVER_DAY, OVER_TOKENS, TOO_MANY_OPEN, UNKNOWN_WALLET, WALLET_FROZEN = 7, 8, 9, 10, 11, 12
local OVER_BUDGET = {13, 14, 15}  -- of the day, of the month, in total
local NO_FUNDS = 16
-- A bucket is full again after a day of rest; forgetting it after two loses nothing.
local KEY_STATE_TTL_MS = 2 * DAY_MS
local expiry_ms = integer(now_ms + tonumber(ARGV[1]))  -- of what is held here
local is_backlogged = redis.call('XLEN', KEYS[2]) > tonumber(ARGV[2])

local function over_rate(limits, tokens)
  if limits.tpm and (limits.tpm == 0 or limits.tpm_level < math.min(tokens, limits.tpm) * MINUTE_MS) then
    return OVER_TOKENS
  end
  if limits.max_open and limits.open >= limits.max_open then return TOO_MANY_OPEN end
end

-- The request is noted at the key: with what it took it is given back, once, whatever the wallet's hold becomes.
local function take(key, limits, request_id, hold, tokens)
  local taken = limits.tpm and math.min(tokens, limits.tpm) or 0
  if limits.tpm then
    limits.tpm_level = limits.tpm_level - taken * MINUTE_MS
    redis.call('HSET', key, 'tpm_level', integer(limits.tpm_level), 'tpm_ms', integer(limits.tpm_ms))
  end
  local note = {integer(hold), integer(taken), integer(limits.today), integer(limits.this_month), limits.counting}
  if redis.call('HSET', key, request_id, table.concat(note, ' ')) == 1 then redis.call('HINCRBY', key, 'open', 1) end
  if limits.is_counted then
    redis.call('HSET', key, 'day', integer(limits.today), 'month', integer(limits.this_month),
      'used_day', integer(limits.used.day), 'used_month', integer(limits.used.month))
    for _, name in ipairs(BUDGETS) do redis.call('HINCRBY', key, 'used_' .. name, integer(hold)) end
  end
  redis.call('PERSIST', key)  -- with it, its open requests would be forgotten
end

local function admit(key, wallet, request_id, hold, least, tokens, judged)
  local k = redis.call('HMGET', key, 'active', 'expires_ms', 'rpm', 'rpd', 'rpm_level', 'rpd_level', 'buckets_ms',
    'special')
  if not k[1] then return {UNKNOWN_KEY, 0, 0, 0, 0, 0, 0} end
  local expires_ms, rpm, rpd = tonumber(k[2]), tonumber(k[3]), tonumber(k[4])
  local since_ms = tonumber(k[7]) or now_ms
  local elapsed_ms = now_ms - since_ms
  local rpm_level = refilled(tonumber(k[5]), rpm, MINUTE_MS, elapsed_ms)
  local rpd_level = refilled(tonumber(k[6]), rpd, DAY_MS, elapsed_ms)
  local frozen, policy_id, limited = false, '', false
  if k[8] then frozen, policy_id, limited = unpack(redis.call('HMGET', key, 'frozen', 'policy_id', 'limited')) end
  local limits = limited and limits_of(key)
  local function answer(outcome, left, held)
    local found = {outcome, rpm, rpm_level, rpd, rpd_level, left or 0, held or 0}
    if limits then
      found[8], found[9], found[10] = limits.tpm or -1, limits.tpm_level or -1, limits.max_open or -1
    end
    return found
  end

  if k[1] ~= '1' or (expires_ms > 0 and expires_ms <= now_ms) then return answer(KEY_REFUSED) end
  if frozen then return answer(KEY_FROZEN) end
  policy_id = policy_id or ''
  if judged == '!' .. policy_id then return answer(POLICY_REFUSED) end
  if judged ~= policy_id then return answer(STALE_POLICY) end
  if is_backlogged then return answer(BACKLOGGED) end
  if rpm == 0 or rpm_level < MINUTE_MS then return answer(OVER_MINUTE) end
  if rpd == 0 or rpd_level < DAY_MS then return answer(OVER_DAY) end
  local over = limits and over_rate(limits, tokens)
  if over then return answer(over) end
  local room, is_frozen = available(wallet)
  if not room then return answer(UNKNOWN_WALLET) end
  if is_frozen then return answer(WALLET_FROZEN) end
  if limits then
    local which, left = over_budget(limits, least)
    if which then return answer(OVER_BUDGET[which], left) end
    hold = within_budgets(limits, hold)
  end
  if least > room then return answer(NO_FUNDS, room) end
  hold = math.min(hold, room)

  rpm_level, rpd_level = rpm_level - MINUTE_MS, rpd_level - DAY_MS
  -- the clock may have gone back: the mark never does, or the same stretch would refill twice
  redis.call('HSET', key, 'rpm_level', integer(rpm_level), 'rpd_level', integer(rpd_level),
    'buckets_ms', integer(math.max(now_ms, since_ms)))
  redis.call('PEXPIRE', key, KEY_STATE_TTL_MS)
  if limits then take(key, limits, request_id, hold, tokens) end
  redis.call('HINCRBY', wallet, 'held', integer(hold))
  redis.call('HSET', KEYS[1], request_id, hold_text(hold, expiry_ms, wallet, key, ''))
  return answer(ADMITTED, room - hold, hold)
end

local reply = {now_ms}
for i = 0, (#ARGV - 2) / 5 - 1 do
  local at = 5 * i
  reply[i + 2] = admit(KEYS[3 + 2 * i], KEYS[4 + 2 * i],
    ARGV[3 + at], tonumber(ARGV[4 + at]), tonumber(ARGV[5 + at]), tonumber(ARGV[6 + at]), ARGV[7 + at])
end
return reply
