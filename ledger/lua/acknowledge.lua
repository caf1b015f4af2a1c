-- A batch was posted to Postgres: its events leave the stream, their charges leave what is unposted, and the wallets'
-- balances become what Postgres says now. All keys belong to one shard.
--
-- KEYS  1      the usage stream
--       2..    the batch's wallets (hashes)
-- ARGV  1      the consumer group
--       2      n, the number of events
--       then   3 per event:  stream id · place of its wallet among KEYS[2..], 0 for none · charge
--       then   4 per wallet, in the order of KEYS[2..]:  balance · overdraft · version · frozen (1 or 0), or '' four times
--              if unknown
-- UNITS nano-dollars, as decimal integers
-- REPLY the number of events acknowledged by this call
--
-- Only what was still pending counts: of two writers that posted the same event, one takes its charge off. Sums are
-- HINCRBY's, in 64-bit integers; Lua's doubles only compare versions.
local stream, group, events = KEYS[1], ARGV[1], tonumber(ARGV[2])
local acknowledged = 0

for i = 0, events - 1 do
    local id, place, charge = ARGV[3 + 3 * i], tonumber(ARGV[4 + 3 * i]), ARGV[5 + 3 * i]
    if redis.call('XACK', stream, group, id) == 1 then
        redis.call('XDEL', stream, id)
        acknowledged = acknowledged + 1
        local wallet = place > 0 and KEYS[1 + place]
        -- A wallet whose hash is gone is loaded anew, without this charge: taking it off again would give money away.
        if wallet and charge ~= '0' and redis.call('HEXISTS', wallet, 'unposted') == 1 then
            if redis.call('HINCRBY', wallet, 'unposted', '-' .. charge) < 0 then
                redis.call('HSET', wallet, 'unposted', '0')
            end
        end
    end
end

for w = 1, #KEYS - 1 do
    local at = 3 + 3 * events + 4 * (w - 1)
    local balance, overdraft, version, frozen = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local cached = redis.call('HMGET', KEYS[1 + w], 'balance', 'version')
    -- Without `balance` the hash is one that admission has yet to load; it is not for us to make it half known.
    if version ~= '' and cached[1] and tonumber(version) > tonumber(cached[2] or '0') then
        redis.call('HSET', KEYS[1 + w], 'balance', balance, 'overdraft', overdraft, 'version', version,
            'frozen', frozen)
    end
end

return acknowledged
