-- Renew the leases of many open requests of one shard, note how far they are, and hold more where they need it. Comes
-- after shared.lua and key_limits.lua.
--
-- KEYS   1: holds hash; then for request i (from 0)  2+2i: key state hash, 3+2i: wallet hash
-- ARGV   1: lease in milliseconds; then for request i
--        2+4i: request id, 3+4i: what its proxy takes it to hold, 4+4i: how much more it wants, both in nano-dollars,
--        5+4i: checkpoint (JSON), '' to leave the one that is there
-- reply  for each request, what is held now in nano-dollars; -1: nothing, and the wallet is not known here
--
-- More is held as far as wallet and budgets have it. A hold that is gone (this server lost it, or it was taken for
-- abandoned) is placed again, under the same condition: what runs is paid for, or is known not to be.
local expiry_ms = integer(now_ms + tonumber(ARGV[1]))

-- Budgets count what the request holds, and its note at the key says how much: they grow together.
local function more_at_key(key, request_id, more)
  local note = redis.call('HGET', key, request_id)
  if not note then return more end
  local limits = limits_of(key)
  local held, taken, day, month, counting = string.match(note, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  if limits.is_counted and counting == limits.counting then
    more = math.max(0, within_budgets(limits, more))
    count_at_key(key, more, day, month)
  end
  redis.call('HSET', key, request_id, table.concat({integer(held + more), taken, day, month, counting}, ' '))
  return more
end

local function renew(key, wallet, request_id, believed, wanted, checkpoint)
  local known = redis.call('HGET', KEYS[1], request_id)
  local held = read_hold(known)
  local more = wanted + (held and 0 or believed)
  local room = available(wallet)
  if not (held or room) then return -1 end
  if more > 0 then
    more = math.max(0, math.min(more, room or 0))
    more = more > 0 and more_at_key(key, request_id, more) or 0
    if more > 0 then redis.call('HINCRBY', wallet, 'held', integer(more)) end
  end
  local now_held = (held or 0) + more
  if checkpoint == '' and held then checkpoint = checkpoint_of(known) end
  redis.call('HSET', KEYS[1], request_id, hold_text(now_held, expiry_ms, wallet, key, checkpoint))
  return now_held
end

local reply = {}
for i = 0, (#ARGV - 1) / 4 - 1 do
  local at = 4 * i
  reply[i + 1] = renew(KEYS[2 + 2 * i], KEYS[3 + 2 * i],
    ARGV[2 + at], tonumber(ARGV[3 + at]), tonumber(ARGV[4 + at]), ARGV[5 + at])
end
return reply
