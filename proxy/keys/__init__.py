"""Whose key is presented, and may who presents it ask at all.

    door      a known key passes, who keeps guessing waits
    verifier  presented key -> who it is: this process -> Redis (cache) -> Postgres -> bcrypt (checks)
    cache     verified keys in Redis, for every proxy
    checks    bcrypt, beside the loop and behind it
    guesses   how much bcrypt the wrong keys of one prefix may take; pure

A key flows door -> verifier -> cache -> checks; what is found flows back.
"""
