"""What reading along costs for each chunk of a stream: microseconds of CPU, the median of seven rounds.

.venv/bin/python benchmarks/tap.py
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from metering.injection import Removal
from metering.tap import StreamTap

ROUNDS, CHUNKS = 7, 50_000
PLAIN = (
    b'data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"tiny",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
USAGE = b',"usage":{"prompt_tokens":12,"total_tokens":40,"completion_tokens":28}}\n\n'
TIMINGS = b',"timings":{"cache_n":0,"prompt_n":12,"prompt_ms":1.1,"predicted_n":28,"predicted_ms":2.2}}\n\n'
CASES: dict[str, tuple[bytes, Callable[[], StreamTap]]] = {
    "an ordinary chunk": (PLAIN, StreamTap),
    "the same, its text kept to be counted": (PLAIN, lambda: StreamTap(keeps_text=True)),
    "with usage:null, taken out": (PLAIN[:-3] + b',"usage":null}\n\n', lambda: StreamTap(removal=Removal(nulls=True))),
    "with a running count, taken out": (PLAIN[:-3] + USAGE, lambda: StreamTap(removal=Removal(running=True))),
    "with llama.cpp's timings, taken out": (PLAIN[:-3] + TIMINGS, lambda: StreamTap(removal=Removal(timings=True))),
}


def cost_us(chunk: bytes, tap: StreamTap) -> float:
    began = time.process_time()
    for _ in range(CHUNKS):
        tap.feed(chunk)
    return (time.process_time() - began) / CHUNKS * 1e6


def main() -> None:
    for name, (chunk, make) in CASES.items():
        rounds = [cost_us(chunk, make()) for _ in range(ROUNDS)]
        print(f"{statistics.median(rounds):6.2f} us  {name}  (from {min(rounds):.2f} to {max(rounds):.2f})")  # noqa: T201


if __name__ == "__main__":
    main()
