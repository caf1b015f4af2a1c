-- Deletes a consumer that is gone, if nothing is pending for it. Asked and done at once: a consumer that took an
-- event in between would lose it with its name.
--
-- KEYS  1  the usage stream
-- ARGV  1  the consumer group · 2  the consumer · 3  how long it must have been idle
-- UNITS milliseconds
-- REPLY 1 if it was deleted, else 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local is = {}
    for i = 1, #consumer, 2 do
        is[consumer[i]] = consumer[i + 1]
    end
    if is.name == ARGV[2] and is.pending == 0 and is.idle >= tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
        return 1
    end
end

return 0
