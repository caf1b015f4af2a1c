"""The gateway's routes and the formats behind them."""

from metering.endpoints import OLLAMA, OPENAI


def test_every_route_is_known_by_its_place() -> None:
    names = [each.name for each in (*OPENAI, *OLLAMA)]
    assert len(set(names)) == len(names)
    assert {"/v1/chat/completions", "/v1/messages", "/v1/audio/speech", "/api/chat", "/api/embed"} <= set(names)


def test_where_it_goes_upstream() -> None:
    assert {each.upstream_path for each in OPENAI} == {each.path for each in OPENAI}
    assert [each.upstream_path for each in OLLAMA] == ["/api/chat", "/api/generate", "/api/embed"]


def test_files_come_in_forms() -> None:
    assert {each.path for each in OPENAI if each.is_form} == {
        "/audio/transcriptions",
        "/audio/translations",
        "/images/edits",
        "/images/variations",
    }
