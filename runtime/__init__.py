"""What all rooms stand on; imports nothing of ours.

config      one file and the environment -> one frozen value, or every mistake at once
clock, ids  time and request ids, passed in as arguments so that tests can choose them
tasks       every background task has a name and an owner
coalesce    many callers, one call: joins what is asked within one tick of the loop
logs        structured lines from an allow-list of fields
processes   child processes that die with their parent
embedded/   a private Postgres and Valkey, started from wheels
simulator/  an LLM server that can be told how to behave
"""
