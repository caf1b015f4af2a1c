"""What happened to the money. Knows nothing of HTTP, keys or Stripe.

    money          integer nano-dollars: parse, format
    entries        frozen records: a usage entry on its way to Postgres, a wallet, a key, a transaction
    errors         what the ledger refuses
    redis_schema   the names of the keys and fields in Redis that money is kept under
    writer         Redis Stream -> batch -> one transaction -> acknowledge
    lanes          parts of a batch, posted beside each other while others are read and acknowledged
    stream         the Redis Stream, read as one of a group
    posting        a batch of entries -> usage rows, transactions and debits, each request once
    corrections    what was recovered and is truly settled after all
    dead_letters   what is kept of an event that cannot be posted
    credits        every way a balance moves that is not usage
    postgres       the store over a pool: posting, credits, and what is read; `rows` types the rows
    shards         how many shards there are, noted in Redis, and changing it
    redis_store    what the ledger changes in Redis, by the scripts of lua/
    balances       what Postgres says about wallets and keys -> Redis, by version
    process        writers, mirror and partitions, run together
    meters         what a ledger process counts, for Prometheus
    lives          is Redis still the one that it was
    backlog        says when too much waits to be posted
    retention      months of the usage log that are closed, summed up, archived (`archive`) and dropped
    migrate        numbered SQL files, applied once, under a lock
    audit          the invariants, checked; audit_redis does it for what Redis keeps
    billed         what the requests of an interval used, as they were billed
    posted         waits until all that has ended is in Postgres

A usage entry flows one way: settled in Redis (metering) -> Stream -> writer -> Postgres -> acknowledged.
"""
