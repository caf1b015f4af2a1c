"""The leg to the client: what we make of HTTP (`runtime/http` speaks it).

server         a table of routes; bad HTTP is answered in our own words
body           the presented key, the whole body, within limits
client_address where a request comes from, through trusted proxies
headers        what may pass in either direction
answers        whole answers and failures
form           a form, as the meter sees it
routes         the table of paths
cors        which web pages may call from a browser
"""
