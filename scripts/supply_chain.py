"""What Farebox brings along: a list of it, whether anything is known against it, and when it was last looked at.

    python3 scripts/supply_chain.py sbom       sbom.cdx.json: CycloneDX 1.6, of what is in the image
    python3 scripts/supply_chain.py audit      asks PyPI what is known against it; exits 1: something, 2: no answer
    python3 scripts/supply_chain.py reviewed   notes that the locks, as they are now, were looked at today

Standard library only; cyclonedx-bom and pip-audit are installed into `.tools`, pinned by hash. An audit needs a
network, so that no test asks for one: tests/shape/test_supply_chain.py asks that no lock changes without a review.
"""

import hashlib
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from tools import ROOT, environment, pip

SBOM = ROOT / "sbom.cdx.json"
LOCK = ROOT / "requirements-server.lock"
REVIEW = ROOT / "deploy" / "reviewed.toml"
# What runs where money is: development's own tools are another matter.
LOCKS = ("requirements-server.lock", "requirements.lock")
_TOOLS_LOCK = ROOT / "deploy" / "tools" / "supply.lock"
_FOUND, _NO_ANSWER = 1, 2
# A network that drops what it does not let out answers nothing.
_AUDIT_TIMEOUT_S = 15


def main(arguments: list[str]) -> int:
    actions = {"sbom": sbom, "audit": audit, "reviewed": reviewed}
    if len(arguments) != 1 or arguments[0] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    return actions[arguments[0]]()


def sbom() -> int:
    """Of an environment that is made as the Dockerfile makes it: licences are in what is installed, not in a lock."""
    server = environment("server", LOCK)
    pip(server, "uninstall", "--yes", *build_only())
    cyclonedx = environment("supply", _TOOLS_LOCK) / "cyclonedx-py"
    options = ["--pyproject", ROOT / "pyproject.toml", "--mc-type", "application", "--output-reproducible"]
    written = ["--spec-version", "1.6", "--output-format", "JSON", "--output-file", SBOM]
    subprocess.run([cyclonedx, "environment", *options, *written, server / "python"], check=True)
    print(f"wrote {SBOM.relative_to(ROOT)}")
    return 0


def build_only() -> list[str]:
    """What the Dockerfile takes out again."""
    (names,) = re.findall(r'"uninstall", "--yes", \\\n(.*?)\]', (ROOT / "Dockerfile").read_text(), re.DOTALL)
    return re.findall(r'"([^"]+)"', names)


def audit() -> int:
    pip_audit = environment("supply", _TOOLS_LOCK) / "pip-audit"
    options = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    limits = ["--timeout", str(_AUDIT_TIMEOUT_S)]
    ran = subprocess.run([pip_audit, *options, *limits, "-r", LOCK], check=False, capture_output=True, text=True)
    print(ran.stdout, end="")
    if ran.returncode == 0:
        return 0
    if "found" in ran.stderr.lower() and "vulnerabilit" in ran.stderr.lower():
        print(ran.stderr, end="", file=sys.stderr)
        return _FOUND
    why = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else "no answer"
    last = tomllib.loads(REVIEW.read_text())["reviewed_on"]
    print(f"could not ask: {why}\nthe locks were last looked at on {last}", file=sys.stderr)
    return _NO_ANSWER


def reviewed() -> int:
    lines = [f'"{name}" = "{digest(ROOT / name)}"' for name in LOCKS]
    kept, today = REVIEW.read_text().partition("reviewed_on")[0], time.strftime("%Y-%m-%d", time.gmtime())
    REVIEW.write_text("\n".join([f"{kept}reviewed_on = {today}", "", "[sha256]", *lines]) + "\n")
    return 0


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
