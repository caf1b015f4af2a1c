"""`farebox smoke`: the whole flow against a running deployment."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from proxy.cli.options import Dollars, print_result, run
from proxy.smoke.checks import clean_up, flow
from proxy.smoke.client import connected
from proxy.smoke.run import Run, Wanted
from proxy.smoke.steps import OnResult, Result, Step, all_passed, run_steps

_FAILED = 1
_SHOWN = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}


@dataclass(frozen=True, slots=True)
class Target:
    base_url: str
    admin_url: str
    wanted: Wanted
    timeout_s: float


@click.command("smoke")
@click.option("--base-url", metavar="URL", envvar="FAREBOX_BASE_URL", help="Where the deployment answers.")
@click.option("--admin-url", metavar="URL", help="Where it answers administrators, if they have a port of their own.")
@click.option("--user-token", metavar="T", envvar="FAREBOX_USER_TOKEN", help="Of a user kept for this: it spends.")
@click.option("--admin-token", metavar="T", envvar="FAREBOX_ADMIN_TOKEN", help="Of an administrator: it gives credit.")
@click.option("--demo", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="demo.json of `farebox up`.")
@click.option("--model", help="The model to ask; else the first of /v1/models.")
@click.option("--credit", type=Dollars(), default="1", show_default=True, help="What to give, and take back.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=60, show_default=True, metavar="S")
@click.option("--posting-wait", "wait_s", type=click.FloatRange(0.1, 600), default=20, show_default=True, metavar="S")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def smoke(
    base_url: str | None,
    admin_url: str | None,
    user_token: str | None,
    admin_token: str | None,
    demo: Path | None,
    model: str | None,
    credit: int,
    timeout_s: float,
    wait_s: float,
    as_json: bool,
) -> None:
    """Run the whole flow against a live deployment: pass or fail, step by step.

    Makes keys and revokes them, gives credit and takes it back; only what its few requests cost is really spent.
    """
    if credit <= 0:
        raise click.BadParameter("must be more than 0", param_hint="--credit")
    known = _read_demo(demo)
    found = {
        "base_url": base_url or known.get("base_url"),
        "user_token": user_token or known.get("user_token"),
        "admin_token": admin_token or known.get("admin_token"),
    }
    for name, value in found.items():
        if not isinstance(value, str) or not value:
            raise click.UsageError(f"--{name.replace('_', '-')} is missing (or give --demo)")
    wanted = Wanted(str(found["user_token"]), str(found["admin_token"]), model, credit, wait_s)
    target = Target(str(found["base_url"]), admin_url or str(found["base_url"]), wanted, timeout_s)
    results = run(_run(target, _silent if as_json else _print))
    passed = all_passed(results)
    report = {"ok": passed, "base_url": target.base_url, "steps": [asdict(result) for result in results]}
    print_result(report, as_json, "all is well" if passed else "something is WRONG")
    if not passed:
        raise SystemExit(_FAILED)


async def _run(target: Target, on_result: OnResult) -> list[Result]:
    """What was made is taken back however the steps end, also by Ctrl-C."""
    async with (
        connected(target.base_url, target.timeout_s) as deployment,
        connected(target.admin_url, target.timeout_s) as admin,
    ):
        going = Run(deployment, admin, target.wanted)
        results: list[Result] = []
        try:
            results += await run_steps(flow(going), on_result)
        finally:
            results += await run_steps([Step("clean up", lambda: clean_up(going))], on_result)
        return results


def _read_demo(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        raise click.BadParameter("cannot be read as JSON", param_hint="--demo") from None
    if not isinstance(found, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--demo")
    return found


def _print(result: Result) -> None:
    click.echo(f"{_SHOWN[result.outcome]}  {result.name:<22} {result.reason}  ({result.duration_ms} ms)")


def _silent(_: Result) -> None:
    """The report says it all."""


COMMANDS = (smoke,)
