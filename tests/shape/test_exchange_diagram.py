"""The picture of the exchange is the table's own."""

from docs.draw_exchange import PAGE, render


def test_the_page_is_what_the_table_gives() -> None:
    assert PAGE.read_text() == render(), "run `python docs/draw_exchange.py`"
