"""The leg to the client: HTTP as aiohttp speaks it, and what we make of it.

server         a table of routes; bad HTTP is answered in our own words
body           the presented key, the whole body, within limits
client_address where a request comes from, through trusted proxies
headers        what may pass in either direction
answers        whole answers and failures
client_stream  an answer that is written to as its bytes arrive
"""
