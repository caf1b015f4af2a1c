-- Which run of which server this is: another id after every restart, and after a failover.
--
-- KEYS   1: any key of the shard; on a cluster it leads to the node that serves it
-- reply  the run id, 40 characters
return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
