"""`farebox up`: everything on this machine."""

from pathlib import Path
from typing import get_args

import click

from proxy.cli.options import run
from proxy.local.up import Wanted, up
from runtime.settings import UpstreamKind

_DATA = Path(".farebox")


@click.command("up")
@click.option(
    "--upstream", metavar="URL", help="Your LLM server, e.g. http://127.0.0.1:11434/v1; else a simulated one."
)
@click.option("--upstream-kind", type=click.Choice(get_args(UpstreamKind)), default="generic", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=_DATA, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--reset", is_flag=True, help="Delete all data first.")
def up_command(
    upstream: str | None, upstream_kind: str, host: str, port: int, data: Path, workers: int, reset: bool
) -> None:
    """Everything on this machine: Postgres, Valkey, a demo key, an LLM server, the proxy."""
    run(up(Wanted(upstream, upstream_kind, host, port, data, workers, reset), click.echo))


COMMANDS = (up_command,)
