-- API keys as Postgres has them, put where Redis has an older version. The state of a key's buckets stays as it is.
--
-- KEYS  the keys (hashes), all of one shard
-- ARGV  1      1: only keys that Redis knows already; 0: any
--       2      time to live
--       then   5 per key:  active (1 or 0) · expires_ms (0: never) · rpm · rpd · version
-- UNITS milliseconds; requests
-- REPLY the number of keys that were brought up to date
local only_known, ttl_ms, put = ARGV[1] == '1', ARGV[2], 0

for i, key in ipairs(KEYS) do
    local at = 3 + 5 * (i - 1)
    local version = redis.call('HGET', key, 'version')
    if (version and tonumber(ARGV[at + 4]) > tonumber(version)) or (not version and not only_known) then
        redis.call('HSET', key, 'active', ARGV[at], 'expires_ms', ARGV[at + 1],
            'rpm', ARGV[at + 2], 'rpd', ARGV[at + 3], 'version', ARGV[at + 4])
        redis.call('PEXPIRE', key, ttl_ms)
        put = put + 1
    elseif version and ARGV[at + 4] == version then
        redis.call('PEXPIRE', key, ttl_ms)
    end
end

return put
