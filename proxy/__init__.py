"""The edge: HTTP in, HTTP out, and the wiring of everything.

    exchange      the state machine of a request: from admission on, exactly one settlement
    gateway       its interpreter: one request from its first byte to its settlement
    admitting     the desk before it: whose key, what for, at which price, is there room
    asking        a request, parsed and checked, and what goes upstream for it (sending: to whom, with which headers)
    relay         upstream bytes -> tap -> client, with back-pressure; tapping chooses the tap
    recording     an ended call -> its settlement, counted first where nobody reported (counting, remote_counting)
    leaving       a client that left: is the rest of its answer worth reading?
    questions     which upstreams refuse to be asked for usage
    error_shapes  a failure in the words of OpenAI, Anthropic or Ollama
    prices        the price sheet in force, read again when Postgres announces a change
    routing       model -> the upstreams that serve it, and what is added to its requests (additions)
    opening       the upstreams as configured -> pools, ways to connect, health_checks
    settlement    an ended request -> the usage entry it is recorded as
    failures      every way to refuse or fail -> status, code, body; refusals words what other parts report
    callers       who calls, for what takes nothing: models, usage_lookup (what one request came to)
    models, health  what can be used; lives? can serve?

    keys/         whose key is presented
    http/         the leg to the client
    upstream/     the leg to the LLM server
    telemetry/    what is told of requests: metrics, log lines, traces
    gateway_api, account_api, metrics_api   the routes of programs, of people and of Prometheus, wired
    surface       what is served with one configuration, exchanged for another while requests run
    app           the composition root
    listeners     one port for all, or another for administrators
    process/      how a process starts and stops: signals, ports, workers
    background    what the ledger process does beside posting (notices)
    reconcile/    `farebox reconcile`: what was billed against a server's own counters, or Stripe's payments
    smoke/        `farebox smoke`: the whole flow against a running deployment
    local/, cli/  `farebox up`; the command line

A request goes http -> gateway -> upstream, its answer upstream -> relay -> http.
"""
