"""A cluster that has the overlay ``local``, through kubectl."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMESPACE = "mlops"
T = TypeVar("T")


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """What kubectl printed; raises with its error."""
    done = subprocess.run(
        ["kubectl", "--namespace", NAMESPACE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def why_not() -> str | None:
    """Why there is no cluster to test on; None if there is."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    if shutil.which("kubectl") is None:
        return "kubectl is not installed"
    done = subprocess.run(
        ["kubectl", "--request-timeout=5s", "get", "deployment", "--namespace", NAMESPACE, "code-location"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else f"the cluster has no platform (make k8s-apply): {done.stderr}"


def secret(name: str, key: str) -> str:
    found = json.loads(kubectl("get", "secret", name, "--output", "json"))
    return base64.b64decode(found["data"][key]).decode()


def pods(selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        kubectl("get", "pods", "--selector", selector, "--output", "json")
    )["items"]
    return found


def until(what: str, look: Callable[[], T | None], seconds: float) -> T:
    """The first truthy answer of ``look``; raises ``TimeoutError`` with the state of the pods."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(1)
    raise TimeoutError(f"{what}: not within {seconds:g} s\n{kubectl('get', 'pods', '--output', 'wide')}")


@contextmanager
def forwarded(service: str, port: int) -> Iterator[str]:
    """The address on loopback at which one pod of ``service`` answers meanwhile."""
    here = free_port()
    command = ["kubectl", "--namespace", NAMESPACE, "port-forward", f"service/{service}", f"{here}:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(f"port-forward to {service}", lambda: _listens(here) or None, 30)
        yield f"http://127.0.0.1:{here}"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
