"""The leg to an LLM server: raw connections, kept and used again. Nothing here knows what is asked or answered.

    pool        finds or opens a connection, writes the request; never sends anything twice
    turns       who gets which connection: the pool's decisions, pure
    connection  one HTTP/1.1 connection: bytes in, callbacks of a `ResponseSink` out, in the same tick
    dialing     how a connection is opened: TCP, TLS, Unix sockets, through a proxy
    proxies     which HTTP proxy the environment names; pure
    tls         own authorities and certificates
    parser      httptools, and the framing rules it leaves to its caller; pure
    request     a configured address -> origin; a request -> the bytes of its head; pure
    standing    what is held against a server: its failures, its health checks; pure
    rest        how long a server that wants no more (429) is to be left alone; pure
    balance     which of a model's servers takes the next request; pure
    attempts    the servers tried for one request, and whether another one may be; pure
    errors      what can go wrong, and whether the request may have been sent

A request flows pool -> connection; a response flows connection -> parser -> sink.
"""
