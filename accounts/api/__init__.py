"""The account API over HTTP: people's and admins' tokens in, JSON out.

    fields    what a request's fields may be: exact amounts, clean names, dates
    requests  a body -> a checked model; a query -> a checked model
    answers   JSON with exact money; errors in one shape
    router    the table of routes; who calls, what went wrong
    keys, wallet, admin, stripe   one group of routes each

A handler gets a `Call` (who, with what) and returns what is to be JSON; it knows nothing of HTTP beyond that.
"""
