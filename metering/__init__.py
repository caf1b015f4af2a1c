"""What was used, what it costs, whether there is room.

usage       what was used, in disjoint buckets
reading     what a server says of it, in its own overlapping terms -> usage
formats/    the wire formats: how a request asks, where an answer says what it used
endpoints   which format stands behind which route
kinds       what each kind of server does with what it is asked: a table
injection   what we add to a request to be told; removal takes it out of the answer again
sse, framing   bytes split anywhere -> events
tap         reads along, alters nothing but what we caused, ends in a reading
text        what was said, kept for the case that nobody reports
tokenizers/ counting it
outcome     what an ended request comes to, and who counted it
estimate/   request -> upper bound of what it may use, for the hold
pricing     price sheet, Usage x price -> nano-dollars
bucket      a token bucket as integer arithmetic: the reference model of the Lua
budget      what a key spent per day, month and in total: the reference model of the Lua
policy      what a key may be used for, and from where
model       the whole of admission and settlement in Python: the twin of the Lua
policies    the policies that this process knows, and how it learns of another
counters    the token counters that LLM servers publish, and what they grew by
reconciliation  what was billed against what such a server counted
admission   asks Redis: admit, settle; many requests in one script call
"""
