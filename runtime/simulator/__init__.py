"""An LLM server that can be told how to behave: OpenAI-compatible, deterministic, with its own books.

It feeds tests, the demo and the benchmark, so it has to outrun the proxy in front of it.

settings   how it is started
errors     a refusal and its OpenAI-shaped body
fields     reads one JSON field strictly
orders     the body field `simulate`: what one request tells the server to do
faults     which fault, and when
plan       request body -> plan: how many tokens, which model, streamed or not
responses  response heads, chunked framing, fixed bodies
chat       plan -> the bytes of a chat completion, streamed or not (one file per dialect)
script     plan + fault -> what goes out, where it stops and how it ends
totals     the books: a record per request, counts per model
reading    bytes in -> requests, within limits
sending    plays a script: pace, back-pressure, small writes, endings
routes     everything that is not a completion
shared     what all connections of one server have in common
connection one client's connection: requests in, answers out
server     start and run

A request flows one way: reading -> plan -> chat -> script -> sending; totals hears of each step.
"""
