"""What a process counts and measures, and how Prometheus is told.

series    counters, gauges and histograms: plain integers in dictionaries, cheap enough for every request
book      all of one process -> a snapshot; snapshots of several processes -> one
slots     the workers on one port: each leaves its snapshot where the others find it
page      a snapshot -> the text that Prometheus reads
common    what every process has: Redis, Postgres, log lines, the event loop, the process itself
"""
