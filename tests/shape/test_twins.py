"""Every module that does something has a unit test of the same name in the same place: `proxy/http/body.py` is
tested by `tests/unit/proxy/http/test_body.py`.

What only makes sense beside a real server is an exception, with the reason and the test that covers it instead. An
exception that is no longer needed is a mistake too.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.shape.tree import ROOT, benchmarks, functions, is_stub, modules, parsed


@dataclass(frozen=True)
class Instead:
    reason: str
    test: str


SQL = "its code is SQL, which only Postgres can judge"
SCRIPTS = "its code is Lua, which only Redis can judge"
NETWORK = "speaks to a socket"

EXCEPTIONS: dict[str, Instead] = {
    "accounts/api/admin_events.py": Instead("only hands over", "tests/acceptance/test_notices.py"),
    "accounts/api/notifications.py": Instead("only hands over", "tests/acceptance/test_notices.py"),
    "accounts/notices/deliveries.py": Instead(SQL, "tests/integration/test_event_deliveries.py"),
    "accounts/notices/outbox.py": Instead(SQL, "tests/integration/test_event_deliveries.py"),
    "accounts/notices/records.py": Instead(SQL, "tests/integration/test_event_deliveries.py"),
    "accounts/notices/watch.py": Instead(SQL, "tests/integration/test_balance_watch.py"),
    "proxy/notices.py": Instead("only puts parts together", "tests/acceptance/test_notices.py"),
    "accounts/admin_log.py": Instead(SQL, "tests/integration/test_admin_log.py"),
    "accounts/api/admin.py": Instead("only hands over", "tests/acceptance/test_admin.py"),
    "accounts/api/admin_views.py": Instead("only hands over", "tests/acceptance/test_admin.py"),
    "accounts/api/history.py": Instead("only hands over", "tests/acceptance/test_account_history.py"),
    "accounts/api/keys.py": Instead("only hands over", "tests/acceptance/test_own_keys.py"),
    "accounts/api/prices.py": Instead("only hands over", "tests/acceptance/test_prices.py"),
    "accounts/api/stripe.py": Instead("only hands over", "tests/acceptance/test_account_api.py"),
    "accounts/api/wallet.py": Instead("only hands over", "tests/acceptance/test_account_api.py"),
    "accounts/as_admin.py": Instead(SQL, "tests/integration/test_users.py"),
    "accounts/as_user.py": Instead(SQL, "tests/integration/test_row_level_security.py"),
    "accounts/key_acts.py": Instead(SQL, "tests/integration/test_admin_acts.py"),
    "accounts/key_changes.py": Instead(SQL, "tests/integration/test_user_keys.py"),
    "accounts/jwks_fetch.py": Instead(NETWORK, "tests/integration/test_jwks.py"),
    "accounts/keys.py": Instead(SQL, "tests/integration/test_accounts_keys.py"),
    "accounts/dead_letters.py": Instead(SQL, "tests/integration/test_dead_letters.py"),
    "accounts/pages.py": Instead(SQL, "tests/integration/test_usage.py"),
    "accounts/price_trial.py": Instead(SQL, "tests/integration/test_price_trial.py"),
    "accounts/prices.py": Instead(SQL, "tests/integration/test_accounts_prices.py"),
    "accounts/api/stripe_shapes.py": Instead("only hands over", "tests/acceptance/test_auto_topup.py"),
    "accounts/stripe/auto_topup/attempts.py": Instead(SQL, "tests/integration/test_auto_topup.py"),
    "accounts/stripe/auto_topup/charger.py": Instead(NETWORK, "tests/integration/test_auto_topup.py"),
    "accounts/stripe/auto_topup/plans.py": Instead(SQL, "tests/integration/test_auto_topup.py"),
    "accounts/request_usage.py": Instead(SQL, "tests/integration/test_request_usage.py"),
    "accounts/stripe/book.py": Instead(SQL, "tests/integration/test_stripe_webhook.py"),
    "accounts/stripe/checkout.py": Instead(NETWORK, "tests/integration/test_stripe_checkout.py"),
    "accounts/stripe/client.py": Instead(NETWORK, "tests/integration/test_stripe_checkout.py"),
    "accounts/stripe/reconciling.py": Instead(NETWORK, "tests/integration/test_stripe_reconciling.py"),
    "accounts/stripe/pruning.py": Instead(SQL, "tests/integration/test_stripe_pruning.py"),
    "accounts/transactions.py": Instead(SQL, "tests/integration/test_usage.py"),
    "accounts/usage.py": Instead(SQL, "tests/integration/test_usage.py"),
    "accounts/user_keys.py": Instead(SQL, "tests/integration/test_user_keys.py"),
    "accounts/wallets.py": Instead(SQL, "tests/integration/test_accounts_wallets.py"),
    "ledger/audit.py": Instead(SQL, "tests/integration/test_audit.py"),
    "ledger/balances.py": Instead("listens to Postgres and tells Redis", "tests/integration/test_balances.py"),
    "ledger/billed.py": Instead(SQL, "tests/integration/test_billed.py"),
    "ledger/posted.py": Instead("between Redis and Postgres", "tests/integration/test_posted.py"),
    "ledger/errors.py": Instead("an error that keeps its numbers", "tests/integration/test_posting.py"),
    "ledger/lives.py": Instead("between Redis and Postgres", "tests/integration/test_lives.py"),
    "ledger/postgres.py": Instead(SQL, "tests/integration/test_posting.py"),
    "ledger/posting.py": Instead(SQL, "tests/integration/test_posting.py"),
    "ledger/process.py": Instead("only starts writers and mirror", "tests/integration/test_ledger_process.py"),
    "ledger/redis_store.py": Instead(SCRIPTS, "tests/integration/test_redis_store.py"),
    "ledger/retention.py": Instead(SQL, "tests/integration/test_retention.py"),
    "ledger/shards.py": Instead("speaks to Redis", "tests/integration/test_shards.py"),
    "ledger/stream.py": Instead("speaks to a Redis Stream", "tests/integration/test_writer.py"),
    "ledger/writer.py": Instead("between Redis and Postgres", "tests/integration/test_writer.py"),
    "proxy/account_api.py": Instead("only puts parts together", "tests/acceptance/test_account_api.py"),
    "proxy/app.py": Instead("only puts parts together", "tests/acceptance/test_openai_client.py"),
    "proxy/background.py": Instead("only puts parts together", "tests/integration/test_ledger_process.py"),
    "proxy/backends.py": Instead("opens connections", "tests/acceptance/test_servers_that_go_away.py"),
    "proxy/cli/ledger.py": Instead("only puts parts together", "tests/acceptance/test_stopping.py"),
    "proxy/cli/migrate.py": Instead("only puts parts together", "tests/acceptance/test_command_line.py"),
    "proxy/cli/retention.py": Instead("only puts parts together", "tests/acceptance/test_command_line.py"),
    "proxy/listeners.py": Instead(NETWORK, "tests/integration/test_listeners.py"),
    "proxy/gateway_api.py": Instead("only puts parts together", "tests/acceptance/test_openai_client.py"),
    "proxy/local/reach.py": Instead(NETWORK, "tests/integration/test_local_reach.py"),
    "proxy/remote_counting.py": Instead(NETWORK, "tests/integration/test_remote_counting.py"),
    "proxy/reconcile/scrape.py": Instead(NETWORK, "tests/integration/test_scrape.py"),
    "proxy/reconcile/upstream.py": Instead("only puts parts together", "tests/acceptance/test_reconcile.py"),
    "proxy/health_checks.py": Instead(NETWORK, "tests/integration/test_health_checks.py"),
    "proxy/upstream/dialing.py": Instead(NETWORK, "tests/integration/test_upstream_dialing.py"),
    "proxy/upstream/tls.py": Instead("reads certificates", "tests/integration/test_upstream_tls.py"),
    "proxy/surface.py": Instead("only puts parts together", "tests/acceptance/test_reloading.py"),
    "proxy/upstream/pool.py": Instead(NETWORK, "tests/integration/test_upstream_pool.py"),
    "runtime/listener.py": Instead("listens to Postgres", "tests/integration/test_listener.py"),
    "runtime/postgres.py": Instead("opens connections", "tests/integration/test_posting.py"),
    "runtime/simulator/connection.py": Instead(NETWORK, "tests/integration/test_simulator.py"),
    "runtime/simulator/server.py": Instead(NETWORK, "tests/integration/test_simulator.py"),
}


def twin_of(module: Path) -> Path:
    name = module.parent.name if module.name == "__init__.py" else module.stem
    return Path("tests", "unit", module.parent, f"test_{name}.py")


def does_something(module: Path) -> bool:
    """Is there a function in it? Records, constants, errors and protocols alone do nothing."""
    return any(not is_stub(function) for function in functions(parsed(module)))


def test_every_module_has_its_twin() -> None:
    without = {str(module) for module in modules() if does_something(module) and not (ROOT / twin_of(module)).exists()}
    assert sorted(without - EXCEPTIONS.keys()) == [], "write the test, or say why not and what covers it instead"
    assert sorted(EXCEPTIONS.keys() - without) == [], "not needed any more: take it off the list"


def test_every_exception_names_a_test_that_exists() -> None:
    missing = {instead.test for instead in EXCEPTIONS.values() if not (ROOT / instead.test).is_file()}
    assert missing == set()


def test_every_unit_test_has_its_module() -> None:
    twins = {twin_of(module) for module in modules() + benchmarks()}
    found = {path.relative_to(ROOT) for path in (ROOT / "tests" / "unit").rglob("test_*.py")}
    assert sorted(map(str, found - twins)) == []
