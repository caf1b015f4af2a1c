-- A batch was posted to Postgres: its events leave the stream, their charges leave what is unposted, and the wallets'
-- balances become what Postgres says now. All keys belong to one shard.
--
-- KEYS  1      the usage stream
--       2..    the batch's wallets (hashes)
-- ARGV  1      the consumer group
--       2      JSON, one flat list, 3 for each event:  stream id · place of its wallet among KEYS[2..], 0 for none · charge
--       3      JSON, one flat list, 4 for each wallet, in the order of KEYS[2..]:  balance · overdraft · version · frozen
--              (1 or 0), all null if unknown
-- UNITS nano-dollars, as integers below 2^53, which a double holds exactly
-- REPLY the number of events acknowledged by this call
--
-- Only what was still pending counts: of two writers that posted the same event, one takes its charge off. A wallet's
-- charges come off together: a call for each would double what this script takes, and nobody else is served meanwhile.
local stream, group, events, states = KEYS[1], ARGV[1], cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
-- Beyond this a double is not exact, and a call takes no more arguments than that.
local EXACT, AT_ONCE = 2 ^ 53, 1000

local function integer(n) return string.format('%.0f', n) end

-- A wallet whose hash is gone is loaded anew, without these charges: taking them off again would give money away.
local function take_off(wallet, nanos)
    if nanos == 0 or redis.call('HEXISTS', wallet, 'unposted') == 0 then return end
    if redis.call('HINCRBY', wallet, 'unposted', '-' .. integer(nanos)) < 0 then
        redis.call('HSET', wallet, 'unposted', '0')
    end
end

local charged, done, acknowledged = {}, {}, 0
for at = 1, #events, 3 do
    local id, place, charge = events[at], events[at + 1], events[at + 2]
    if redis.call('XACK', stream, group, id) == 1 then
        acknowledged = acknowledged + 1
        done[#done + 1] = id
        if #done == AT_ONCE then
            redis.call('XDEL', stream, unpack(done))
            done = {}
        end
        if place > 0 then
            local so_far = charged[place] or 0
            if so_far + charge >= EXACT then
                take_off(KEYS[1 + place], so_far)
                so_far = 0
            end
            charged[place] = so_far + charge
        end
    end
end
if #done > 0 then redis.call('XDEL', stream, unpack(done)) end
for place, nanos in pairs(charged) do take_off(KEYS[1 + place], nanos) end

for w = 1, #KEYS - 1 do
    local at = 4 * w
    local balance, overdraft, version, frozen = states[at - 3], states[at - 2], states[at - 1], states[at]
    if version ~= cjson.null then
        local cached = redis.call('HMGET', KEYS[1 + w], 'balance', 'version')
        -- Without `balance` the hash is one that admission has yet to load; it is not for us to make it half known.
        if cached[1] and version > tonumber(cached[2] or '0') then
            redis.call('HSET', KEYS[1 + w], 'balance', integer(balance), 'overdraft', integer(overdraft),
                'version', integer(version), 'frozen', integer(frozen))
        end
    end
end

return acknowledged
