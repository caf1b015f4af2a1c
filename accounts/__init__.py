"""The control plane: who has which key, what is in a wallet, what a model costs.

keys      made, listed, changed, rotated, revoked; key_format says what one looks like; only a hash is kept
key_terms      what a key is, and whether it may still be changed
key_lists      models, routes and addresses that a key is restricted to, read from what people write
key_policy     how far users may go with their own keys
key_changes    made, changed, rotated: in the caller's transaction
wallets   made on first use; what an admin does to one: credits, refunds (of a request: refunds), frozen, overdraft
key_acts       what an admin does to somebody's key: frozen, revoked
admin_log      who did what, to what, before, after, why: in the transaction of the act
users     everybody's accounts, as an admin sees them (as_admin)
dead_letters   usage that could not be posted: looked at, posted after all, dropped
prices    the price rows: read as a sheet, listed, set, switched off; rates says what one asks for
price_trial    what past usage would have cost at other prices
identity  user tokens: minted, and verified -> who calls
claims    is a token in force, meant for us, and whose is it
jwk_set   which published keys may sign, and with what
jwks      those keys, kept fresh; jwks_fetch fetches them

as_user       a transaction in which Postgres shows one user's rows
user_keys     a user's own keys, under that role
wallet_view   what a user sees of the wallet: funds, latest lines, statistics
transactions, usage   pages and CSV of them (filters, cursors, pages, csv_lines are what those share)
statistics    what requests come to: by model, key and day
request_usage what one request came to, by our id or the client's
stripe/       cards: checkout, auto top-up, webhook, refunds, disputes
notices/      events, told by webhook and mail
api/          all of it over HTTP
"""
