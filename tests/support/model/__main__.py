"""python -m tests.support.model [--requests 2 --proxies 2 --faults pauses=1,proxy_kills=1 | --pairs | --triples]

Without options: the worlds that the tests explore. `--pairs`: every two things that may happen, with two requests, and
with one where Redis is killed. `--triples`: every three, with one request. Each world is a line of a table; a fault is
told with the way to it, and the command ends with 1.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations

from tests.support.model.explorer import Exploration
from tests.support.model.money import ALONE, MAX_STATES, QUICK, check
from tests.support.model.promises import in_words, promises_under
from tests.support.model.state import Faults, Setup, State

HEAD = "| requests | what may happen | besides what always holds | states | transitions | longest way | seconds |\n"


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    sys.stdout.write(HEAD + "|---" * 7 + "|\n")
    seen = [_explore(setup, options.max_states) for setup in _chosen(options)]
    states, transitions = (sum(getattr(world, name) for world in seen) for name in ("states", "transitions"))
    sys.stdout.write(f"{len(seen)} worlds, {states:,} states, {transitions:,} transitions\n")
    return int(any(world.fault for world in seen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.model", description=__doc__)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--proxies", type=int, default=2)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--balance", type=int, default=3)
    parser.add_argument("--wants", type=int, default=2, help="what each request would cost in the end")
    parser.add_argument("--faults", default="", help=f"name=times, of: {', '.join(Faults._fields)}")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--triples", action="store_true")
    parser.add_argument("--max-states", type=int, default=MAX_STATES)
    return parser


def _chosen(options: argparse.Namespace) -> Iterable[Setup]:
    if options.pairs:
        return map(_pair, _together(2))
    if options.triples:
        return (replace(ALONE, faults=faults) for faults in _together(3))
    if not options.requests:
        return QUICK
    named = dict(pair.split("=") for pair in options.faults.split(",") if pair)
    faults = Faults(**{name: int(times) for name, times in named.items()})
    wants = (options.wants,) * options.requests
    return [Setup(options.balance, wants, options.proxies, options.writers, faults=faults)]


def _together(count: int) -> Iterator[Faults]:
    for names in combinations(Faults._fields, count):
        yield Faults(**dict.fromkeys(names, 1))


def _pair(faults: Faults) -> Setup:
    return replace(ALONE if faults.redis_kills else Setup(), faults=faults)


def _explore(setup: Setup, max_states: int) -> Exploration[State]:
    """Prints a line."""
    began = time.perf_counter()
    seen = check(setup, max_states=max_states)
    took_s = time.perf_counter() - began
    happens = ", ".join(f"{name} {times}" for name, times in setup.faults._asdict().items() if times) or "nothing"
    promised = "; ".join(map(in_words, promises_under(setup.faults))) or "nothing"
    size = f"{seen.states:,}" if seen.is_complete else f"the first {seen.states:,}"
    row = [len(setup.wants), happens, promised, size, f"{seen.transitions:,}", seen.depth, f"{took_s:.1f}"]
    sys.stdout.write(f"| {' | '.join(map(str, row))} |\n" + (f"{seen.fault}\n" if seen.fault else ""))
    sys.stdout.flush()
    return seen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
