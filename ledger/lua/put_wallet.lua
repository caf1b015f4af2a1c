-- Wallets as Postgres has them, put where Redis has an older version. What is held and unposted stays as it is.
--
-- KEYS  the wallets (hashes), all of one shard
-- ARGV  1      1: only wallets that Redis knows already; 0: any
--       then   4 per wallet:  balance · overdraft · version · frozen (1 or 0)
-- UNITS nano-dollars, as decimal integers
-- REPLY the number of wallets that were brought up to date
local only_known, put = ARGV[1] == '1', 0

for i, wallet in ipairs(KEYS) do
    local at = 2 + 4 * (i - 1)
    local cached = redis.call('HMGET', wallet, 'balance', 'version')
    local known = cached[1] and cached[2]
    if (known and tonumber(ARGV[at + 2]) > tonumber(cached[2])) or (not known and not only_known) then
        redis.call('HSET', wallet, 'balance', ARGV[at], 'overdraft', ARGV[at + 1], 'version', ARGV[at + 2],
            'frozen', ARGV[at + 3])
        put = put + 1
    end
end

return put
