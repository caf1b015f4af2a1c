"""HTTP/1.1 as a server speaks it, over httptools; who answers and in which words is said from outside.

parser      bytes -> requests, within limits; what could be read in two ways is refused
body        a request's body: collected as it comes, read when it is asked for
limits      what one client may take
encoding    bodies that were packed (gzip, deflate), unpacked within a limit
request     a request as its handler sees it
response    a whole answer, and the bytes of its head
stream      an answer that is written to as its bytes come to be
patience    how long a connection may go on as it is
connection  one client: requests in, answers out, one at a time
crowd       how many connections there are, by address
server      all connections: their limits of time, their end
"""
