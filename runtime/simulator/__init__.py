"""An LLM server that can be told how to behave and whose server to pose as: deterministic, with its own books.

It feeds tests, the demo and the benchmark, so it has to outrun the proxy in front of it.

settings   how it is started
kinds      whose servers it can pose as, and which routes those have
errors     a refusal and its OpenAI-shaped body
fields     reads one JSON field strictly
form       a multipart form as the fields of a JSON body
orders     the body field `simulate`: what one request tells the server to do
details    … and what is counted, and how it is written
faults     which fault, and when
plan       request body -> plan: how many tokens, which model, streamed or not
responses  response heads, chunked framing, fixed bodies
chat       plan -> the bytes of a generic chat completion, streamed or not: fast, for benchmarks
dialects/  request -> the bytes of every other kind and format
performing a dialect's reply + fault -> what goes out, where it stops and how it ends
script     the same for a generic chat
totals     the books: a record per request, counts per model
metrics    … and as the counters that real servers publish
reading    bytes in -> requests, within limits
sending    plays a script: pace, back-pressure, small writes, endings
routes     everything that is not a completion
shared     what all connections of one server have in common
connection one client's connection: requests in, answers out
server     start and run

A request flows one way: reading -> plan -> chat -> script -> sending, or reading -> dialects -> performing ->
sending; totals hears of each step.
"""
