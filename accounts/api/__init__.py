"""The account API over HTTP: people's and admins' tokens in, JSON out.

    fields    what a request's fields may be: exact amounts, clean names, dates
    requests  a body -> a checked model; a query -> a checked model
    answers   JSON with exact money; errors in one shape
    router    the table of routes; who calls, what went wrong
    refusals  what a route may refuse with, by status and code
    openapi   the routes described, with examples where a schema has none; description serves it
    keys, wallet, admin, admin_views, admin_events, prices, notifications, stripe   one group of routes each

A handler gets a `Call` (who, with what) and returns what is to be JSON; it knows nothing of HTTP beyond that.
"""
