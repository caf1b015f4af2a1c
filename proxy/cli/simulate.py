"""`farebox simulate`: an LLM server to try things on."""

import click

from proxy.process.starting import StartError
from runtime import logs
from runtime.simulator.kinds import Kind
from runtime.simulator.server import run as run_simulator
from runtime.simulator.settings import DEFAULT_MODEL, DEFAULT_TOKENS, SimulatorSettings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=9000, show_default=True)
@click.option("--model", "models", multiple=True, default=(DEFAULT_MODEL,), show_default=True)
@click.option("--tokens", type=click.IntRange(1, 1_000_000), default=DEFAULT_TOKENS, show_default=True)
@click.option("--chunk-delay-ms", type=click.FloatRange(0, 60_000), default=0.0, show_default=True)
@click.option("--api-key", envvar="SIMULATOR_API_KEY", help="Let in only who presents this.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.GENERIC.value,
    show_default=True,
    help="Whose server to pose as.",
)
def simulate(
    host: str, port: int, models: tuple[str, ...], tokens: int, chunk_delay_ms: float, api_key: str | None, kind: str
) -> None:
    """The simulated LLM server on its own."""
    logs.set_level("info")
    settings = SimulatorSettings(host, port, models, tokens, chunk_delay_ms, api_key, kind=Kind(kind))
    try:
        run_simulator(settings)
    except OSError as error:
        raise StartError(f"cannot listen on {host} port {port} ({error.strerror or error})") from error


COMMANDS = (simulate,)
