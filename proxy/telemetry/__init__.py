"""What is told of requests, and of the process that serves them. Nothing here decides anything.

pace             how far a request came, and when: what all below read
meters           what is counted of a request
request_log      its line in the log
tracing          its span (OpenTelemetry, where it is on); span_attributes: what that says
gauges           what is so just now, looked up when somebody asks
metrics_page     /metrics: of all workers on a port
"""
