-- Settle many requests of one shard: the hold goes, the charge is noted as unposted, the event is added.
--
-- KEYS   1: holds hash, 2: usage stream; then for request i (from 0)  3+i: wallet hash
-- ARGV   for request i  1+3i: request id, 2+3i: cost in nano-dollars, 3+3i: usage entry (JSON), '' to only release
-- reply  for each request, the charge in nano-dollars: the cost, or as much of it as hold and wallet have
--
-- Settling works when the hold is gone (this server lost it, or the same settlement came before): posting is
-- idempotent by request id, and each event takes back at its acknowledgement exactly what it added here.

local function integer(n) return string.format('%.0f', n) end

local function settle(wallet, request_id, cost, entry)
  local hold = redis.call('HGET', KEYS[1], request_id)
  if hold then
    redis.call('HDEL', KEYS[1], request_id)
    -- a free request holds 0, and '-0' is no number to HINCRBY
    if hold ~= '0' then redis.call('HINCRBY', wallet, 'held', '-' .. hold) end
  end
  if entry == '' then return 0 end
  local w = redis.call('HMGET', wallet, 'balance', 'overdraft', 'held', 'unposted')
  local charge = cost
  -- a wallet this server does not know: Postgres, which does, will not let it below its overdraft either
  if w[1] then
    local room = tonumber(w[1]) + tonumber(w[2]) - (tonumber(w[3]) or 0) - (tonumber(w[4]) or 0)
    charge = math.min(cost, math.max(0, room))
  end
  redis.call('HINCRBY', wallet, 'unposted', integer(charge))
  redis.call('XADD', KEYS[2], '*', 'entry', entry, 'charge', integer(charge))
  return charge
end

local reply = {}
for i = 0, #ARGV / 3 - 1 do
  reply[i + 1] = settle(KEYS[3 + i], ARGV[1 + 3 * i], tonumber(ARGV[2 + 3 * i]), ARGV[3 + 3 * i])
end
return reply
