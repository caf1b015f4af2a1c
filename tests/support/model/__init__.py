"""A model of how money is held, settled, recovered and posted, and an explorer that walks through all of its states.

    explorer    breadth-first search: invariants, deadlocks, states from which work cannot be finished
    state       the parts as values: Redis, Postgres, requests, writers; the rules; how large a world is
    scripts     what each Lua script does, as one atomic step
    posting     what each Postgres transaction does
    steps       what proxies, clients and the ledger do
    faults      what goes wrong
    promises    what must hold, and under which faults
    money       the protocol put together, and the worlds that the tests explore

`python -m tests.support.model` explores; docs/MODEL.md says what is modelled and what was found.
"""
