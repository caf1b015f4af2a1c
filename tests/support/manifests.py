"""Kubernetes manifests as a kustomization names them, without kubectl: resources and ConfigMaps, no patches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Manifest: TypeAlias = dict[str, Any]
_KNOWN = {"apiVersion", "kind", "labels", "configMapGenerator", "resources", "images"}


def rendered(folder: Path) -> list[Manifest]:
    """Everything that `kubectl kustomize FOLDER` gives, with names as they are written."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) <= _KNOWN, set(kustomization) - _KNOWN
    found = [_config_map(folder, given) for given in kustomization.get("configMapGenerator", ())]
    for name in kustomization.get("resources", ()):
        path = folder / name
        found += rendered(path) if path.is_dir() else documents(path)
    return found


def documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and pod template of each Deployment and Job."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector["matchLabels"]
    return wanted.items() <= labels.items()


def _config_map(folder: Path, given: Manifest) -> Manifest:
    data = {name: (folder / name).read_text() for name in given["files"]}
    return {"kind": "ConfigMap", "metadata": {"name": given["name"]}, "data": data}
