-- Settle many requests of one shard: the hold goes, the charge is noted as unposted, the event is added. Where the key
-- has limits of its own, the request is open no longer, and what it took of them becomes what it used. Comes after
-- shared.lua.
--
-- KEYS   1: holds hash, 2: usage stream; then for request i (from 0)  3+2i: wallet hash, 4+2i: key state hash
-- ARGV   for request i  1+5i: request id, 2+5i: cost in nano-dollars, 3+5i: usage entry (JSON), '' to only release,
--        4+5i: tokens used, 5+5i: to settle it only if its lease lapsed, the expiry_ms that it was seen with, else ''
-- reply  for each request, the charge in nano-dollars: the cost, or as much of it as hold or wallet has; -1: its lease
--        did not lapse, or was renewed since it was seen; nothing was done
--
-- Settling works when the hold is gone (this server lost it, or the same settlement came before): posting is
-- idempotent by request id, and each event takes back at its acknowledgement exactly what it added here. What a key
-- has spent is not taken back, so it is added only where the hold or the key's note of the request says: for the first time.
local MINUTE_MS = 60000
local KEY_STATE_TTL_MS = 2 * 86400000
-- However much one request used, its key has tokens again a day later.
local MOST_MINUTES_OWED = 1440

-- What was taken at admission becomes what was used. The bucket may owe tokens afterwards.
local function correct_tokens(key, taken, used)
  local k = redis.call('HMGET', key, 'tpm', 'tpm_level', 'tpm_ms')
  local tpm, level, since_ms = tonumber(k[1]), tonumber(k[2]), tonumber(k[3])
  if not (tpm and level and since_ms) then return end
  local full, most_owed = tpm * MINUTE_MS, MOST_MINUTES_OWED * tpm
  level = math.min(full, level + math.max(0, now_ms - since_ms) * tpm)
  level = level + (taken - math.min(used, most_owed)) * MINUTE_MS
  level = math.max(-most_owed * MINUTE_MS, math.min(full, level))
  redis.call('HSET', key, 'tpm_level', integer(level), 'tpm_ms', integer(math.max(now_ms, since_ms)))
end

-- `is_first`: the wallet's hold was there, so this is the first settlement of the request
local function close_at_key(key, request_id, is_first, charge, used_tokens)
  local note, is_counted = unpack(redis.call('HMGET', key, request_id, 'used_total'))
  if not (note or is_counted) then return end
  local counting_now, day, month = unpack(redis.call('HMGET', key, 'counting', 'day', 'month'))
  local hold = 0
  if note then
    local held, taken, noted_day, noted_month, counting = string.match(note, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    redis.call('HDEL', key, request_id)
    if redis.call('HINCRBY', key, 'open', -1) == 0 then redis.call('PEXPIRE', key, KEY_STATE_TTL_MS) end
    correct_tokens(key, tonumber(taken), used_tokens)
    day, month = noted_day, noted_month
    -- a hold from before counting began anew is not in the count
    if counting == counting_now then hold = tonumber(held) end
  end
  if is_counted and (note or is_first) then count_at_key(key, charge - hold, day, month) end
end

-- What is held can be charged, whatever the wallet seems to have: between the posting of another request and its
-- acknowledgement here, that one may be counted twice, in the balance and as unposted.
local function charged(wallet, cost, hold)
  local room = available(wallet)
  -- a wallet this server does not know: Postgres, which does, will not let it below its overdraft either
  return room and math.min(cost, math.max(hold or 0, room)) or cost
end

local function settle(wallet, key, request_id, cost, entry, used_tokens, lapsed_ms)
  local hold, expiry_ms = read_hold(redis.call('HGET', KEYS[1], request_id))
  if lapsed_ms and not (hold and expiry_ms == lapsed_ms and expiry_ms <= now_ms) then return -1 end
  if hold then
    redis.call('HDEL', KEYS[1], request_id)
    -- '-0' is no number to HINCRBY
    if hold > 0 then redis.call('HINCRBY', wallet, 'held', '-' .. integer(hold)) end
  end
  local charge = 0
  if entry ~= '' then
    charge = charged(wallet, cost, hold)
    redis.call('HINCRBY', wallet, 'unposted', integer(charge))
    redis.call('XADD', KEYS[2], '*', 'entry', entry, 'charge', integer(charge))
  end
  close_at_key(key, request_id, hold, charge, used_tokens)
  return charge
end

local reply = {}
for i = 0, #ARGV / 5 - 1 do
  local at = 5 * i
  reply[i + 1] = settle(KEYS[3 + 2 * i], KEYS[4 + 2 * i],
    ARGV[1 + at], tonumber(ARGV[2 + at]), ARGV[3 + at], tonumber(ARGV[4 + at]), tonumber(ARGV[5 + at]))
end
return reply
