"""Real processes, real servers, and from a seed faults of every kind under load; afterwards everything is checked.

    schedule    seed -> which fault hits which part, when and for how long (pure)
    visits      seed -> who asks for what, and who leaves in the middle (pure)
    verdict     what clients saw, what was emitted, what the books say -> what deviates, what was lost (pure)
    bounds      how much may be lost, and why (pure)
    report      a failure in words; the table of a long run (pure)

    links       a TCP proxy between two parts: pass, cut, hang, swallow, slow, half open
    parts       servers and processes that can be killed, stopped and started again
    rig         all of it put together, and mended after a schedule
    customers   wallets of every kind
    clients     visits, and what each client received to the last byte
    facts       what Postgres, Redis and the LLM server say after it
    run         one schedule from its first fault to its verdict
    scene       one failure at a time, by hand, for named tests

`python -m tests.support.chaos --help` is the long run; docs/TESTING.md says how to read a failure.
"""
