"""The control plane: who has which key, what is in a wallet, what a model costs.

keys      what a key looks like; made, listed, revoked; only a hash is kept
wallets   made on first use; credited by an admin
prices    the price rows
identity  user tokens: minted, and verified -> who calls
claims    is a token in force, meant for us, and whose is it
jwk_set   which published keys may sign, and with what
jwks      those keys, fetched and kept fresh
"""
