"""Hold the Dockerfile, the compose file and the Kubernetes manifests against tools that know them.

Usage: python3 scripts/check_deploy.py. Standard library only; hadolint, kubernetes-validate and check-jsonschema are
installed into `.tools`, pinned by hash. `kubectl` is used where it is on the machine.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools import ROOT, environment

LOCK = ROOT / "deploy" / "tools" / "check.lock"
# The oldest that restarts init containers (k8s/sidecar needs it), and the newest that the validator knows.
KUBERNETES = ("1.29.0", "1.37.0")
OVERLAYS = ("gateway", "sidecar", "migrate")


def main() -> int:
    failed = not ran("hadolint", ROOT / "Dockerfile")
    failed |= not ran("check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yaml")
    with tempfile.TemporaryDirectory() as folder:
        for path in manifests(Path(folder)):
            for version in KUBERNETES:
                failed |= not ran("kubernetes-validate", "--strict", "--quiet", "-k", version, path)
    return int(failed)


def manifests(folder: Path) -> list[Path]:
    """As they are built, or without kubectl as they are written."""
    if shutil.which("kubectl") is None:
        return [path for path in sorted((ROOT / "k8s").rglob("*.yaml")) if is_manifest(path)]
    built = []
    for overlay in OVERLAYS:
        built.append(folder / f"{overlay}.yaml")
        with built[-1].open("wb") as out:
            subprocess.run(["kubectl", "kustomize", ROOT / "k8s" / overlay], stdout=out, check=True)  # noqa: S607 - the one that people use
    return built


def is_manifest(path: Path) -> bool:
    return path.name not in ("kustomization.yaml", "config.yaml")


def ran(tool: str, *arguments: str | Path) -> bool:
    print(f"{tool} {' '.join(map(str, arguments))}", flush=True)
    return subprocess.run([environment("check", LOCK) / tool, *arguments], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
