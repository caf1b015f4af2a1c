from runtime.simulator.dialects import events


def test_events_and_lines_are_compact() -> None:
    assert events.data({"a": 1, "b": [2]}) == b'data: {"a":1,"b":[2]}\n\n'
    assert events.named({"type": "ping", "n": 1}) == b'event: ping\ndata: {"type":"ping","n":1}\n\n'
    assert events.comment("PING") == b": PING\n\n"
    assert events.line({"done": True}) == b'{"done":true}\n'
