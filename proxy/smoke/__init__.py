"""`farebox smoke`: the whole flow against a running deployment, over HTTP alone.

    steps    a list of steps, run in order: passed, failed, or skipped for what failed before
    checks   what each step asks and what it must find; what was made is taken back
    run      what the steps learn and make
    client   HTTP with a bound on every wait and every answer

It changes nothing that it does not undo, but for what its few requests cost.
"""
