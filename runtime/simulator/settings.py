"""How the simulated server is started."""

from dataclasses import dataclass

from runtime.simulator.kinds import Kind

DEFAULT_TOKENS = 20
DEFAULT_MODEL = "tiny"


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """What `farebox simulate` was asked for.

    `port` 0 takes a free one. `tokens` and `chunk_delay_ms` hold where a request orders nothing else; a delay
    of 0 sends as fast as it can. `api_key` None lets everyone in. `record_credentials` keeps the
    `Authorization` header of each request in its record: for tests that look for leaked keys, never else. `kind` is
    whose server it poses as where a request orders no other.
    """

    host: str = "127.0.0.1"
    port: int = 0
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    tokens: int = DEFAULT_TOKENS
    chunk_delay_ms: float = 0
    api_key: str | None = None
    record_credentials: bool = False
    kind: Kind = Kind.GENERIC
