"""The overlays as kustomize renders them."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ("local", "eks")
Manifest = dict[str, Any]


@lru_cache
def render(overlay: str) -> list[Manifest]:
    """All objects of ``overlay``; skips where neither kubectl nor kustomize is installed."""
    folder = str(ROOT / "deploy" / "k8s" / "overlays" / overlay)
    for command in (["kubectl", "kustomize", folder], ["kustomize", "build", folder]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return [found for found in yaml.safe_load_all(done.stdout) if found]
    pytest.skip("neither kubectl nor kustomize is installed, which render the manifests")


def of_kind(objects: list[Manifest], *kinds: str) -> list[Manifest]:
    return [found for found in objects if found["kind"] in kinds]


def named(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [o for o in of_kind(objects, kind) if o["metadata"]["name"] == name]
    return found


def workloads(objects: list[Manifest]) -> list[Manifest]:
    return of_kind(objects, "Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob")


def pod(workload: Manifest) -> Manifest:
    """The pod template's spec."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Manifest) -> list[Manifest]:
    spec = pod(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]


def labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Manifest, these: dict[str, str]) -> bool:
    """Whether a label selector matches; raises ``KeyError`` for an operator that is not known here."""
    for key, value in selector.get("matchLabels", {}).items():
        if these.get(key) != value:
            return False
    known = {
        "In": lambda e: these.get(e["key"]) in e["values"],
        "NotIn": lambda e: these.get(e["key"]) not in e["values"],
        "Exists": lambda e: e["key"] in these,
    }
    return all(known[e["operator"]](e) for e in selector.get("matchExpressions", []))
