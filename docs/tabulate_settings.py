"""Writes the table of settings in docs/OPERATING.md, from what config.yaml says of each and what a reload takes up.

Run `python docs/tabulate_settings.py` after a change of either; tests/shape/test_settings_documented.py compares them.
"""

import re
from pathlib import Path

from docs.describe_settings import FILE, ROOT, Line, documented
from proxy.surface import FIXED
from runtime.settings import Config
from runtime.settings.changes import is_among
from runtime.settings.outline import leaves

PAGE = ROOT / "docs" / "OPERATING.md"
_BEGIN, _END = "<!-- settings:begin -->\n", "<!-- settings:end -->\n"
# What the ledger process alone is told.
_OF_LEDGER = ("metrics.ledger", "retention", "notices", "stripe.auto_topup", "stripe.keep_events_days")
# A file name is shortened where a table would be too wide; nothing else in it is that long.
_MAX_SHOWN_CHARS = 40


def table() -> str:
    """A row for each setting, in the order of config.yaml."""
    lines = documented(FILE.read_text())
    known = {".".join(place): field for place, field in leaves(Config)}
    rows = [_row(name, line, known[name].is_required()) for name, line in lines.items() if name in known]
    return "\n".join(["| setting | default | new value | what it is for |", "|---|---|---|---|", *rows]) + "\n"


def written(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table()}{_END}{after}"


def _row(name: str, line: Line, is_required: bool) -> str:
    default = "" if not line.is_commented or is_required else line.shown
    shown = f"`{default}`" if default and len(default) <= _MAX_SHOWN_CHARS else ""
    text = re.sub(r"\s+", " ", line.text).replace("|", "\\|")
    return f"| `{name}` | {shown} | {_when(name)} | {text} |"


def _when(name: str) -> str:
    return "restart" if is_among(name, (*FIXED, *_OF_LEDGER)) else "reload"


def write(page: Path = PAGE) -> None:
    page.write_text(written(page.read_text()))


if __name__ == "__main__":
    write()
