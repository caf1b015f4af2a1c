-- What all scripts of this folder begin with: time, integers, holds, and what a wallet has.
--
-- A hold, in the holds hash:  request id -> '<nanos> <expiry_ms> <wallet id> <key id> <checkpoint>'
-- It is leased: whoever placed it renews it about once a second. After `expiry_ms` anybody may settle it at its
-- checkpoint, the usage entry of the request as far as it was known (JSON), or let it go where that is empty.
-- Units: money in nano-dollars, time in milliseconds by this server's clock.

-- tostring() would write 1e+15
local function integer(n) return string.format('%.0f', n) end

local now_ms
do
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- wallet and key by the names of their hashes, which end with the ids
local function hold_text(nanos, expiry_ms, wallet, key, checkpoint)
  return integer(nanos) .. ' ' .. expiry_ms .. ' ' .. string.sub(wallet, -36) .. ' ' .. string.sub(key, -36)
    .. ' ' .. checkpoint
end

-- nano-dollars and expiry_ms; nothing for what is no hold
local function read_hold(text)
  if not text then return end
  local nanos, expiry_ms = string.match(text, '^(%d+) (%d+) ')
  return tonumber(nanos), tonumber(expiry_ms)
end

local function checkpoint_of(text)
  return string.match(text, '^%S+ %S+ %S+ %S+ (.*)$')
end

-- What the wallet can still spend, and if it is frozen; nil where this server does not know it. Beyond 2^53 it may be a
-- nano-dollar off, which decides nothing: no hold and no charge is as large.
local function available(wallet)
  local w = redis.call('HMGET', wallet, 'balance', 'overdraft', 'held', 'unposted', 'frozen')
  if not w[1] then return end
  return tonumber(w[1]) - (tonumber(w[3]) or 0) - (tonumber(w[4]) or 0) + tonumber(w[2]), w[5] == '1'
end

-- What a key has spent and holds changes for a request that was admitted in that day and month: what is over is counted
-- no more.
local function count_at_key(key, nanos, day, month)
  if nanos == 0 then return end
  local now = redis.call('HMGET', key, 'day', 'month')
  redis.call('HINCRBY', key, 'used_total', integer(nanos))
  if day == now[1] then redis.call('HINCRBY', key, 'used_day', integer(nanos)) end
  if month == now[2] then redis.call('HINCRBY', key, 'used_month', integer(nanos)) end
end
