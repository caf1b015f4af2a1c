-- API keys as Postgres has them, put where Redis has an older version. What goes on at a key (its buckets, its open
-- requests, what it has spent) stays as it is.
--
-- KEYS  the keys (hashes), all of one shard
-- ARGV  1      1: only keys that Redis knows already; 0: any
--       2      time to live
--       then   18 per key:  active (1 or 0) · expires_ms (0: never) · rpm · rpd · version · frozen (1) · policy (JSON)
--              · policy_id · tpm · max_open · budget_day · budget_month · budget_total ('' from `frozen` on: there is none)
--              · day · month · and what was posted in that day, that month and ever
-- UNITS milliseconds; requests; tokens; nano-dollars, as decimal integers; day and month as in metering/bucket.py
-- REPLY the number of keys that were brought up to date
local WIDTH = 18
local OPTIONAL = {'frozen', 'policy', 'policy_id', 'tpm', 'max_open', 'budget_day', 'budget_month', 'budget_total'}
local FIRST_LIMIT = 4
local only_known, ttl_ms, put = ARGV[1] == '1', ARGV[2], 0

-- What was posted is where counting begins. From there on Redis counts itself, until the key has no budget any more:
-- counting anew gets a number of its own, by which an open request is known to be counted in it or not.
local function begin_counting(key, at)
    if ARGV[at + 10] .. ARGV[at + 11] .. ARGV[at + 12] == '' then
        redis.call('HDEL', key, 'used_total')
    elseif redis.call('HEXISTS', key, 'used_total') == 0 then
        redis.call('HSET', key, 'day', ARGV[at + 13], 'month', ARGV[at + 14],
            'used_day', ARGV[at + 15], 'used_month', ARGV[at + 16], 'used_total', ARGV[at + 17])
        redis.call('HINCRBY', key, 'counting', 1)
    end
end

-- What only some keys have is there only where it is: the others stay short, and quick to read. `special` says that
-- there is something.
local function put_key(key, at)
    redis.call('HSET', key, 'active', ARGV[at], 'expires_ms', ARGV[at + 1],
        'rpm', ARGV[at + 2], 'rpd', ARGV[at + 3], 'version', ARGV[at + 4])
    redis.call('HDEL', key, 'special', 'limited', unpack(OPTIONAL))
    for place, name in ipairs(OPTIONAL) do
        local value = ARGV[at + 4 + place]
        if value ~= '' then redis.call('HSET', key, 'special', '1', name, value) end
        if value ~= '' and place >= FIRST_LIMIT then redis.call('HSET', key, 'limited', '1') end
    end
    begin_counting(key, at)
end

-- A key with open requests must not lapse: it would forget them.
local function keep_for_a_while(key)
    if tonumber(redis.call('HGET', key, 'open') or '0') <= 0 then redis.call('PEXPIRE', key, ttl_ms) end
end

for i, key in ipairs(KEYS) do
    local at = 3 + WIDTH * (i - 1)
    local version = redis.call('HGET', key, 'version')
    if (version and tonumber(ARGV[at + 4]) > tonumber(version)) or (not version and not only_known) then
        put_key(key, at)
        keep_for_a_while(key)
        put = put + 1
    elseif version and ARGV[at + 4] == version then
        keep_for_a_while(key)
    end
end

return put
