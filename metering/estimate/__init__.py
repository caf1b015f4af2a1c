"""How much a request may use, before it has: for the hold, and for billing where nobody reports.

    bound       the most that a request can use, in every format
    plain       the same of the chat that most requests are, in a quarter of the time
    likely      what texts probably come to, and which texts to count
    parts       one walk over a body: its texts, and what is none
    media       pictures, recordings and files in it, as each API writes them
    outline     what of a large body has to be parsed: long pictures by their beginnings
    text        bytes -> the most tokens they can be
    images      how many tokens a picture is, by its size and the model's rule
    image_size  a picture's size, from its own header
    audio       how long a recording is

Nothing in a request is ever fetched to find out. The bound is not a promise: what is really used beyond the hold is
charged as far as the wallet has it, and the rest is recorded as uncollected.
"""
