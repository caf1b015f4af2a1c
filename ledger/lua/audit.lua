#!lua flags=no-writes
-- What Redis has of some wallets of one shard, and what it should have: read at one moment, changing nothing.
--
-- KEYS  1      holds hash · 2 the usage stream
--       3..    wallets (hashes)
-- ARGV  1      the most holds, 2 the most events that are looked through
--       3..    the ids of the wallets, in the order of KEYS[3..]
-- UNITS nano-dollars, as decimal integers
-- REPLY {number of holds, number of events}, and nothing more where one of them is too many; else also
--       {holds without a wallet}, then for each wallet
--       {balance, overdraft, version, held, unposted, frozen, {its holds}, {the charges of its events}}
--
-- Amounts are handed on as they are written: Lua's doubles would round large sums.
local holds_key, stream = KEYS[1], KEYS[2]
local holds_count, events_count = redis.call('HLEN', holds_key), redis.call('XLEN', stream)
if holds_count > tonumber(ARGV[1]) or events_count > tonumber(ARGV[2]) then
    return {{holds_count, events_count}}
end

local holds, charges, without_wallet = {}, {}, {}
for i = 3, #ARGV do
    holds[ARGV[i]], charges[ARGV[i]] = {}, {}
end

-- "<nanos>", or "<nanos> <expiry> <wallet> …"
for _, hold in ipairs(redis.call('HVALS', holds_key)) do
    local nanos, wallet = string.match(hold, '^(%d+) %d+ ([%x-]+)')
    if not nanos then
        nanos = string.match(hold, '^(%d+)')
        without_wallet[#without_wallet + 1] = nanos or '0'
    elseif holds[wallet] then
        holds[wallet][#holds[wallet] + 1] = nanos
    end
end

-- The entry is JSON in the order of its fields, its wallet before anything that a client may have written.
for _, event in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    local is = {}
    for i = 1, #event[2], 2 do
        is[event[2][i]] = event[2][i + 1]
    end
    local wallet = is.entry and string.match(is.entry, '"wallet_id":"([%x-]+)"')
    if wallet and charges[wallet] then
        charges[wallet][#charges[wallet] + 1] = is.charge or '0'
    end
end

local reply = {{holds_count, events_count}, without_wallet}
for i = 3, #KEYS do
    local wallet = redis.call('HMGET', KEYS[i], 'balance', 'overdraft', 'version', 'held', 'unposted', 'frozen')
    wallet[7], wallet[8] = holds[ARGV[i]], charges[ARGV[i]]
    -- a missing field would end the list
    for field = 1, 6 do wallet[field] = wallet[field] or '' end
    reply[#reply + 1] = wallet
end
return reply
