"""Money from and back to cards, by Stripe.

    client     Stripe's own SDK, its waits bounded and its errors in our words
    checkout   a payment page for a user; the Stripe customer, made once
    signature  does a delivery come from Stripe?
    decisions  what an event can mean for us
    events     a verified event -> what is to be done (pure)
    payments   what of a payment has to go back (pure)
    book       events, payments and credits, in one transaction each
    webhook    the order of these: verify, decide, book, tell Redis
    comparison what was paid there against what was credited here (pure)
    reconciling  … read from Stripe's lists and from the books
    pruning    what may be forgotten
    auto_topup/   a saved card, charged when a wallet is nearly empty

Stripe delivers an event several times, at once and in any order. So an event is never taken as a command but as a fact
that is kept: a payment is credited once by its session, and what is due back is computed anew from all that is known.
"""
