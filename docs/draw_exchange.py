"""Draws `docs/exchange.md` from the table in `proxy/exchange.py`: run `python docs/draw_exchange.py` after a change.

The picture and the code cannot drift apart: tests/shape/test_exchange_diagram.py compares them.
"""

from pathlib import Path

from proxy.exchange import TRANSITIONS, Command, Event, State

PAGE = Path(__file__).with_name("exchange.md")

_HEAD = """\
# The exchange: one request as a state machine

<!-- Drawn from the table in proxy/exchange.py by docs/draw_exchange.py. Change the table, not this page. -->

From `ADMITTED` on, exactly one `SETTLE` or `RELEASE` is commanded, whatever happens and in whatever order. `CLOSED`
swallows what comes late. An event that is not in the table cannot happen in that state.
"""


def render() -> str:
    """The whole page."""
    return f"{_HEAD}\n```mermaid\n{_diagram()}\n```\n\n{_table()}\n"


def _diagram() -> str:
    first, last = State.RECEIVED.name, State.CLOSED.name
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {state.name} --> {after.name}: {event.name}" for (state, event), (after, _) in TRANSITIONS.items()]
    return "\n".join([*lines, f"    {last} --> [*]"])


def _table() -> str:
    lines = ["| in state | on event | commands, in this order | then |", "|---|---|---|---|"]
    lines += [_row(state, event, after, commands) for (state, event), (after, commands) in TRANSITIONS.items()]
    return "\n".join(lines)


def _row(state: State, event: Event, after: State, commands: tuple[Command, ...]) -> str:
    named = ", ".join(f"`{command.name}`" for command in commands)
    return f"| `{state.name}` | `{event.name}` | {named or 'nothing'} | `{after.name}` |"


if __name__ == "__main__":
    PAGE.write_text(render())
