"""What was used, what it costs, whether there is room.

usage       what was used, in disjoint buckets
reading     what a server says of it, in its own overlapping terms -> usage
formats/    the wire formats: how a request asks, where an answer says what it used
endpoints   which format stands behind which route
kinds       what each kind of server does with what it is asked: a table
injection   what we add to a request to be told; removal takes it out of the answer again
sse, framing   bytes split anywhere -> events
tap         reads along, alters nothing but what we caused, ends in a reading; answer_tap: of an answer in one piece
usual_event as the one before it, but for its text: most of a stream, and not read
text        what was said, kept for the case that nobody reports
progress    what a running answer has come to so far
tokenizers/ counting it
outcome     what an ended request comes to, and who counted it
estimate/   request -> upper bound of what it may use, for the hold
pricing     price sheet, Usage x price -> nano-dollars
bucket      a token bucket as integer arithmetic: the reference model of the Lua
budget      what a key spent per day, month and in total: the reference model of the Lua
policy      what a key may be used for, and from where
holds       how much to hold, when to hold more, when it is used up
verdict     what admission can find, in its order
model       the whole of admission and settlement in Python: the twin of the Lua; model_keys its part about keys
scripts     the Lua, each script with what it begins with
policies    the policies that this process knows, and how it learns of another
counters    the token counters that LLM servers publish, and what they grew by
reconciliation  what was billed against what such a server counted
admission   asks Redis: is there room; many requests in one script call
leases      renews what this process holds, with checkpoints; holds more
recovery    settles what a proxy left behind
settlements how a request ended, as Redis and the spool are told it
settling    brings that to Redis, or to the spool while Redis is away, and replays it
resending   sends again what a server may have lost when it died
"""
