"""What all rooms stand on; imports nothing of ours.

config      one file and the environment -> one frozen value, or every mistake at once
yaml_file, secret_files  what it is read from
reloading, file_watch  the same again, when its files have changed
mail_address  what we take for one
clock, ids  time and request ids, passed in as arguments so that tests can choose them
addresses   IP addresses and networks, as they are meant
exposition  a page of Prometheus metrics -> its samples
metrics/    what a process counts, cheaply, and the page that says so
tasks       every background task has a name and an owner
garbage     what is imported, and what stays, is not looked through for garbage
lean        what libraries import and nobody asks of them, kept from a start
heap        what a request has freed is kept for the next
version     which Farebox this is
listener    hears what Postgres announces, over a connection of its own
coalesce    many callers, one call: joins what is asked within one tick of the loop
strikes     how often each address failed of late
waits       many futures waited for with one timer
expiring    what is remembered for a while: a bounded dict whose entries live for a time
redis_cluster, redis_slots   a cluster of Redis behind the face of one server; which node has which slot
redis_pipe  many calls to Redis over one connection
open_files  how many files and sockets a process may have
places      so many at once and no more, and of one owner fewer
records, segments, spool  what must not be lost and cannot be delivered now: kept on disk, in order
logs        structured lines from an allow-list of fields
processes   child processes that die with their parent
service_manager  tells systemd how far this process is
http/       HTTP/1.1 as a server speaks it
embedded/   a private Postgres and Valkey, started from wheels
simulator/  an LLM server that can be told how to behave
"""
