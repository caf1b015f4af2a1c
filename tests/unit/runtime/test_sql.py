import pytest

from runtime.sql import load_queries, split_queries


def test_a_file_is_cut_at_its_names() -> None:
    text = "-- About this file.\n\n-- name: one\n-- Says one.\nSELECT 1\n\n-- name: two\n-- Says two.\nSELECT\n  2\n"
    assert split_queries(text) == {"one": "SELECT 1", "two": "SELECT\n  2"}


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        split_queries("-- name: one\n-- Says one.\nSELECT 1\n-- name: one\n-- Says one again.\nSELECT 1\n")


def test_a_query_without_a_name_or_a_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match="before the first"):
        split_queries("SELECT 1\n")
    with pytest.raises(ValueError, match="before the first"):
        split_queries("-- name: one\nSELECT 1\n")


@pytest.mark.parametrize("path", ["sql/posting.sql", "sql/wallets.sql", "sql/audit.sql"])
def test_every_query_of_ours_has_a_body(path: str) -> None:
    queries = load_queries("ledger", path)
    assert queries and all(
        query.upper().startswith(("SELECT", "INSERT", "UPDATE", "WITH")) for query in queries.values()
    )
