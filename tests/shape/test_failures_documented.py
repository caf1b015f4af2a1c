"""Every way to refuse is in docs/BEHAVIOUR.md, with its status, and nothing else is."""

import re
from pathlib import Path

from proxy.failures import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "BEHAVIOUR.md"
_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| \S.* \| \S.* \|$", re.MULTILINE)


def refusals_section() -> str:
    return PAGE.read_text().split("## Refusals", 1)[1].split("\n## ", 1)[0]


def test_the_page_lists_every_code_with_its_status() -> None:
    listed = [(code, int(status)) for code, status in _ROW.findall(refusals_section())]
    assert sorted(listed) == sorted((code, status) for code, (status, _) in TABLE.items())
