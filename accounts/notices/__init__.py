"""Telling people and shops what happened: by signed webhook and by mail, at least once each.

outbox        an event, noted in the transaction of what happened
balance_rule  when a balance is low or empty, and when that is said again: pure
watch         looks at the wallets that changed, and announces what the rule says
dispatch      an event -> one delivery per receiver
deliveries    deliveries that are due: claimed under a lease, finished, tried again, given up, thrown away
retry         how long to wait, and when to give up: pure
worker        claim, send, finish: one loop per receiver
signing       Standard Webhooks: an event's body, signed: pure
webhook       a delivery -> an operator's endpoint
mail          a delivery -> a message, from templates/: pure
smtp          a message -> a mail server
preferences   a user's address, threshold and choice of mails; addresses that tokens tell
records       what operators see of events, and replay
"""
