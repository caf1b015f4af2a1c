"""What is typed; what comes of it is in tests/acceptance/test_reconcile.py."""

import pytest
from click.testing import CliRunner

from proxy.cli.reconcile import reconcile


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "a.json", "--interval", "5s"],
        ["--to", "b.json"],
        ["--from", "a.json", "--to", "b.json", "--metrics-url", "http://a/metrics"],
        ["--metrics-url", "ftp://a/metrics"],
        ["--metrics-url", "http://"],
        ["--metrics-url", "http://a:99999/"],
        ["--metrics-url", "http://user:password@a/metrics"],
        ["--same", "a"],
        ["--same", "=b"],
        ["--interval", "1 minute"],
        ["--tolerance", "-1"],
        ["--tolerance", "nan"],
        ["--late-tokens", "-1"],
        ["--since", "2026-01-01"],
        ["--until", "2026-01-01"],
        ["--stripe", "--upstream", "main"],
        ["--stripe", "--from", "a.json"],
        ["--stripe", "--since", "2026-01-02", "--until", "2026-01-01"],
        ["snapshot"],
        ["--interval", "5s", "snapshot", "--out", "a.json"],
        ["--stripe", "snapshot", "--out", "a.json"],
    ],
    ids=" ".join,
)
def test_nonsense_is_wrong_usage(arguments: list[str]) -> None:
    ended = CliRunner().invoke(reconcile, arguments)
    assert ended.exit_code == 2, ended.output
    assert "Usage:" in ended.output


def test_help_says_what_it_does() -> None:
    ended = CliRunner().invoke(reconcile, ["--help"])
    assert ended.exit_code == 0 and "snapshot" in ended.output and "--stripe" in ended.output
