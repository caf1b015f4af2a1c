"""The control plane: who has which key, what is in a wallet, what a model costs.

keys      what a key looks like; made, listed, revoked; only a hash is kept
wallets   made on first use; credited by an admin
prices    the price rows
identity  user tokens
"""
