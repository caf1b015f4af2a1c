-- Settle many requests of one shard: the hold goes, the charge is noted as unposted, the event is added. Where the key
-- has limits of its own, the request is open no longer, and what it took of them becomes what it used.
--
-- KEYS   1: holds hash, 2: usage stream; then for request i (from 0)  3+2i: wallet hash, 4+2i: key state hash
-- ARGV   for request i  1+4i: request id, 2+4i: cost in nano-dollars, 3+4i: usage entry (JSON), '' to only release,
--        4+4i: tokens used
-- reply  for each request, the charge in nano-dollars: the cost, or as much of it as hold and wallet have
--
-- Settling works when the hold is gone (this server lost it, or the same settlement came before): posting is
-- idempotent by request id, and each event takes back at its acknowledgement exactly what it added here. What a key
-- has spent is not taken back, so it is added only where the hold or the key's note of the request says: for the first time.
local MINUTE_MS, DAY_MS = 60000, 86400000
local KEY_STATE_TTL_MS = 2 * DAY_MS
-- However much one request used, its key has tokens again a day later.
local MOST_MINUTES_OWED = 1440

local function integer(n) return string.format('%.0f', n) end

local now_ms
local function clock_ms()
  if not now_ms then
    local time = redis.call('TIME')
    now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now_ms
end

-- What was taken at admission becomes what was used. The bucket may owe tokens afterwards.
local function correct_tokens(key, taken, used)
  local k = redis.call('HMGET', key, 'tpm', 'tpm_level', 'tpm_ms')
  local tpm, level, since_ms = tonumber(k[1]), tonumber(k[2]), tonumber(k[3])
  if not (tpm and level and since_ms) then return end
  local full, most_owed = tpm * MINUTE_MS, MOST_MINUTES_OWED * tpm
  level = math.min(full, level + math.max(0, clock_ms() - since_ms) * tpm)
  level = level + (taken - math.min(used, most_owed)) * MINUTE_MS
  level = math.max(-most_owed * MINUTE_MS, math.min(full, level))
  redis.call('HSET', key, 'tpm_level', integer(level), 'tpm_ms', integer(math.max(clock_ms(), since_ms)))
end

local function add(key, name, nanos)
  if nanos ~= 0 then redis.call('HINCRBY', key, name, integer(nanos)) end
end

-- `is_first`: the wallet's hold was there, so this is the first settlement of the request
local function close_at_key(key, request_id, is_first, charge, used_tokens)
  local note, is_counted = unpack(redis.call('HMGET', key, request_id, 'used_total'))
  if not (note or is_counted) then return end
  local count = redis.call('HMGET', key, 'counting', 'day', 'month')
  local hold, day, month = 0, count[2], count[3]
  if note then
    local held, taken, noted_day, noted_month, counting = string.match(note, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    redis.call('HDEL', key, request_id)
    if redis.call('HINCRBY', key, 'open', -1) == 0 then redis.call('PEXPIRE', key, KEY_STATE_TTL_MS) end
    correct_tokens(key, tonumber(taken), used_tokens)
    day, month = noted_day, noted_month
    -- a hold from before counting began anew is not in the count
    if counting == count[1] then hold = tonumber(held) end
  end
  if not (is_counted and (note or is_first)) then return end
  add(key, 'used_total', charge - hold)
  -- what was admitted yesterday belongs to yesterday, which nobody counts any more
  if day == count[2] then add(key, 'used_day', charge - hold) end
  if month == count[3] then add(key, 'used_month', charge - hold) end
end

local function charged(wallet, cost)
  local w = redis.call('HMGET', wallet, 'balance', 'overdraft', 'held', 'unposted')
  -- a wallet this server does not know: Postgres, which does, will not let it below its overdraft either
  if not w[1] then return cost end
  local room = tonumber(w[1]) + tonumber(w[2]) - (tonumber(w[3]) or 0) - (tonumber(w[4]) or 0)
  return math.min(cost, math.max(0, room))
end

local function settle(wallet, key, request_id, cost, entry, used_tokens)
  local hold = redis.call('HGET', KEYS[1], request_id)
  if hold then
    redis.call('HDEL', KEYS[1], request_id)
    -- a free request holds 0, and '-0' is no number to HINCRBY
    if hold ~= '0' then redis.call('HINCRBY', wallet, 'held', '-' .. hold) end
  end
  local charge = 0
  if entry ~= '' then
    charge = charged(wallet, cost)
    redis.call('HINCRBY', wallet, 'unposted', integer(charge))
    redis.call('XADD', KEYS[2], '*', 'entry', entry, 'charge', integer(charge))
  end
  close_at_key(key, request_id, hold, charge, used_tokens)
  return charge
end

local reply = {}
for i = 0, #ARGV / 4 - 1 do
  local at = 4 * i
  reply[i + 1] = settle(KEYS[3 + 2 * i], KEYS[4 + 2 * i],
    ARGV[1 + at], tonumber(ARGV[2 + at]), ARGV[3 + at], tonumber(ARGV[4 + at]))
end
return reply
