"""Who may talk to whom: deny by default, and exactly the ways that the platform needs."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from mlops_assets_tests.deploy.manifests import (
    OVERLAYS,
    Manifest,
    labels,
    of_kind,
    render,
    selects,
    workloads,
)

RUN = {"mlops/role": "run", "app.kubernetes.io/component": "run_worker"}
STEP = {"mlops/role": "run", "app.kubernetes.io/component": "step_worker"}
NODE = STEP | {"mlops/nodes": "several"}
"""A pod of a training over several nodes."""
ANY = 31_234
"""A port that no server has, but a process that was given a free one may."""
WANTED = {
    ("webserver", "code-location", 4266),
    ("daemon", "code-location", 4266),
    ("code-location", "mlflow", 5000),
    ("run", "mlflow", 5000),
    ("step", "mlflow", 5000),
    ("endpoint", "mlflow", 5000),
    ("code-location", "endpoint", 8000),
    ("run", "endpoint", 8000),
    ("step", "endpoint", 8000),
    ("node", "mlflow", 5000),
    ("node", "endpoint", 8000),
}
LOCAL = {
    (who, "database", 5432)
    for who in (
        "webserver",
        "daemon",
        "code-location",
        "run",
        "step",
        "node",
        "metrics",
        "reaper",
        "migrate",
        "mlflow",
    )
} | {
    (who, "object-store", 8333)
    for who in (
        "webserver",
        "daemon",
        "code-location",
        "run",
        "step",
        "node",
        "migrate",
        "mlflow",
        "endpoint",
    )
}
EKS = {("login-dagster", "webserver", 3000), ("login-mlflow", "mlflow", 5000)}


@pytest.fixture(params=OVERLAYS, scope="module")
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def policies(overlay: str) -> list[Manifest]:
    return of_kind(render(overlay), "NetworkPolicy")


@pytest.fixture(scope="module")
def pods(overlay: str) -> dict[str, dict[str, str]]:
    """Every kind of pod, by a name for it, with its labels."""
    found = {"run": RUN, "step": STEP, "node": NODE}
    for workload in workloads(render(overlay)):
        these = labels(workload)
        login = these.get("mlops/login")
        found[f"login-{login}" if login else these["mlops/role"]] = these
    return found


def allows(
    policies: list[Manifest], way: str, here: dict[str, str], there: dict[str, str], port: int
) -> bool:
    """Whether a pod ``here`` may receive from (Ingress) or send to (Egress) a pod ``there``."""
    rules, side = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    for policy in policies:
        spec = policy["spec"]
        if way not in spec["policyTypes"] or not selects(spec["podSelector"], here):
            continue
        for rule in spec.get(rules, []):
            ports = rule.get("ports")  # none: all
            if ports and not any(p["port"] == port and p["protocol"] == "TCP" for p in ports):
                continue
            peers = [p for p in rule.get(side, []) if "podSelector" in p and "namespaceSelector" not in p]
            if any(selects(peer["podSelector"], there) for peer in peers):
                return True
    return False


def test_nothing_is_allowed_that_is_not_said(policies: list[Manifest]) -> None:
    (deny,) = [p for p in policies if p["metadata"]["name"] == "deny-all"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_pods_talk_to_each_other_as_wanted_and_in_no_other_way(
    overlay: str, policies: list[Manifest], pods: dict[str, dict[str, str]]
) -> None:
    ports = {4266, 5000, 8000, 3000, 4180, 9464, 5432, 8333, ANY}
    ways = {
        (a, b, port)
        for a, mine in pods.items()
        for b, other in pods.items()
        for port in ports
        if allows(policies, "Egress", mine, other, port) and allows(policies, "Ingress", other, mine, port)
    }
    among_nodes = {("node", "node", port) for port in ports}
    assert ways == WANTED | among_nodes | (LOCAL if overlay == "local" else EKS)


def test_only_who_makes_pods_reaches_kubernetes(
    overlay: str, policies: list[Manifest], pods: dict[str, dict[str, str]]
) -> None:
    def anywhere(these: dict[str, str]) -> set[int]:
        return {
            port["port"]
            for policy in policies
            if selects(policy["spec"]["podSelector"], these)
            for rule in policy["spec"].get("egress", [])
            if "to" not in rule
            for port in rule["ports"]
        }

    reach = {name for name, these in pods.items() if 6443 in anywhere(these)}
    assert reach == {"webserver", "daemon", "reaper", "run"}, overlay


def test_the_nodes_metadata_is_out_of_reach(policies: list[Manifest]) -> None:
    metadata = ipaddress.ip_address("169.254.169.254")
    blocks: list[dict[str, Any]] = [
        peer["ipBlock"]
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    for block in blocks:
        within = metadata in ipaddress.ip_network(block["cidr"])
        spared = any(metadata in ipaddress.ip_network(part) for part in block.get("except", []))
        assert not within or spared, block
