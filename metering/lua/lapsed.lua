-- A page of the leases that lapsed. Comes after shared.lua.
--
-- KEYS   1: holds hash, 2: the looks that were taken at it (hash: seen_ms, from_ms)
-- ARGV   1: cursor, '0' to begin, 2: about how many to look at, 3: lease in milliseconds,
--        4: the longest pause between two looks in milliseconds
-- reply  {next cursor, '0' at the end, {request id, hold, request id, hold, …}}
--
-- After a pause without looks nobody knows if those who renew could reach this server meanwhile: they get the time of a
-- lease to do so before anything counts as lapsed. A lease that ends later than any can was made before the clock was
-- set back: it ends a lease from now.
local cursor, count, lease_ms, pause_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local look = redis.call('HMGET', KEYS[2], 'seen_ms', 'from_ms')
local seen_ms, from_ms = tonumber(look[1]), tonumber(look[2])
if not seen_ms or now_ms - seen_ms > pause_ms or now_ms < seen_ms then from_ms = now_ms + lease_ms end
redis.call('HSET', KEYS[2], 'seen_ms', integer(now_ms), 'from_ms', integer(from_ms))
if now_ms < from_ms then return {'0', {}} end

local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', count)
local found = {}
for i = 1, #page[2], 2 do
  local id, text = page[2][i], page[2][i + 1]
  local nanos, expiry_ms = read_hold(text)
  if nanos and expiry_ms > now_ms + lease_ms then
    local wallet, key = string.match(text, '^%d+ %d+ (%S+) (%S+)')
    redis.call('HSET', KEYS[1], id, hold_text(nanos, integer(now_ms + lease_ms), wallet, key, checkpoint_of(text)))
  elseif nanos and expiry_ms <= now_ms then
    found[#found + 1], found[#found + 2] = id, text
  end
end
return {page[1], found}
