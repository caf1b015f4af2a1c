"""What each kind of LLM server does with what it is asked: one row each, read from the servers' own sources.

Where a server is younger or older than its row, no money is lost by it: what it refuses is asked again without, what it
does not report is counted here.
"""

from dataclasses import dataclass
from enum import Enum

from runtime.settings import UpstreamKind


class OnClientLeft(Enum):
    """What becomes of an answer whose client is gone."""

    ABORT = "abort"  # cut; billed by the server's running count, else by a count of what was delivered
    DRAIN = "drain"  # read to its end, within bounds, and billed as reported: for who bills us in full anyway
    ESTIMATE = "estimate"  # cut; billed by our own count of what was delivered, whatever the server says


class Tokenize(Enum):
    """Whose way of counting a text a server has."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"
    TGI = "tgi"


BOTH_LIMITS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class Kind:
    """`asks_usage`: a stream reports only if `stream_options.include_usage` says so. `running`: the option
    `continuous_usage_stats` puts a running count on each chunk, and where it `running_alone` also if usage was not
    asked for; `timings`: `timings_per_token` does (llama.cpp's). `limits`: which fields bound the output of a chat,
    the first one given counts; `new_limit`: the one to set where none is given. `null_usage`: formats whose chunks
    carry `"usage":null` whether asked or not.
    """

    name: UpstreamKind
    asks_usage: bool = True
    running: bool = False
    running_alone: bool = False
    timings: bool = False
    limits: tuple[str, ...] = BOTH_LIMITS
    new_limit: str = "max_tokens"
    honours_n: bool = True
    null_usage: frozenset[str] = frozenset()
    on_client_left: OnClientLeft = OnClientLeft.ABORT
    tokenize: Tokenize | None = None


_ROWS = (
    Kind("generic"),
    Kind("vllm", running=True, tokenize=Tokenize.VLLM),
    Kind("sglang", running=True, running_alone=True, tokenize=Tokenize.SGLANG, null_usage=frozenset(("completions",))),
    # its timings come unasked with the last chunk, and would move to the usage chunk if usage were asked for
    Kind("llamacpp", asks_usage=False, timings=True, tokenize=Tokenize.LLAMACPP),
    # its /v1 silently ignores `max_completion_tokens`, and gives one choice whatever `n` says
    Kind("ollama", limits=("max_tokens",), honours_n=False),
    # the two limits are one field to it, which may not come twice
    Kind("tgi", null_usage=frozenset(("chat",)), honours_n=False, tokenize=Tokenize.TGI),
    Kind("trtllm", running=True),
    # its reasoning models refuse `max_tokens`; many others know nothing else
    Kind("openai", new_limit="max_completion_tokens"),
    Kind("azure", new_limit="max_completion_tokens"),
    Kind("anthropic"),
    # refuses the option (422) and reports without; generates on, and bills, when the client has left
    Kind("mistral", asks_usage=False, on_client_left=OnClientLeft.DRAIN),
    Kind("deepseek", asks_usage=False),
    Kind("openrouter", asks_usage=False),
    # reports in `x_groq` without being asked; generates on, and bills, when the client has left
    Kind("groq", asks_usage=False, on_client_left=OnClientLeft.DRAIN),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
