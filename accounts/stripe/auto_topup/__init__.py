"""Auto top-up: a saved card is charged when a wallet is nearly empty.

    rules     when to charge, how much is left under the cap, what an answer means (pure)
    attempts  what is committed before and after Stripe is asked
    charger   the ledger process's round: begin, ask, book
    wishes    what people ask for, within what the operator allows (pure)
    plans     what people set and see

An attempt is a row first and a charge second. Its id is the idempotency key, so any process may ask again after any
other has died; and both the answer and the webhook may bring the news, in any order, as often as they like.
"""
