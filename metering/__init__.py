"""What was used, what it costs, whether there is room.

usage       tokens in disjoint buckets, and who counted them
sse         bytes split anywhere -> events
chat        where a chat completion says what it used, and what we add to be told
tap         reads along, alters nothing but what we caused, ends in a Usage
estimate    request -> upper bound of tokens, for the hold
pricing     price sheet, Usage x price -> nano-dollars
bucket      a token bucket as integer arithmetic: the reference model of the Lua
budget      what a key spent per day, month and in total: the reference model of the Lua
policy      what a key may be used for, and from where
model       the whole of admission and settlement in Python: the twin of the Lua
policies    the policies that this process knows, and how it learns of another
admission   asks Redis: admit, settle; many requests in one script call
"""
