"""`farebox reconcile`: what was billed, held against somebody else's books.

errors     its one error
scrape     a server's page of metrics, read over HTTP within bounds
snapshots  what was read there, kept in a file for later
upstream   two readings, and what was billed between them
words      what came of it, for people and for programs
"""
