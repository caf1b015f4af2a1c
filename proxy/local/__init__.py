"""A whole installation on this machine: what `farebox up` starts, for a demo or for trying one's own LLM server.

folder    the data folder: one owner at a time, secrets kept between starts, private files
servers   Postgres and Valkey: private ones, or those that the environment names
demo      prices, a user with a key and ten dollars, an admin, and `demo.json` that tells
parts     what runs, and is started again if it dies
reach     is a port free, is a server ready, which models does it have
up        all of it in order, and down again in the reverse order
"""
