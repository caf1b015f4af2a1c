"""The control plane: who has which key, what is in a wallet, what a model costs.

keys      made, listed, revoked; key_format says what one looks like; only a hash is kept
wallets   made on first use; credited by an admin
prices    the price rows
identity  user tokens: minted, and verified -> who calls
claims    is a token in force, meant for us, and whose is it
jwk_set   which published keys may sign, and with what
jwks      those keys, fetched and kept fresh

as_user       a transaction in which Postgres shows one user's rows
user_keys     a user's own keys, under that role
wallet_view   what a user sees of the wallet: funds, latest lines, statistics
transactions, usage   pages and CSV of them (filters, cursors, pages, csv_lines are what those share)
stripe/       cards: checkout, webhook, refunds, disputes
api/          all of it over HTTP
"""
