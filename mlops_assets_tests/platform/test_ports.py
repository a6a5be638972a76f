from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from mlops_assets import platform
from mlops_assets.platform import orphans, ports
from mlops_assets.platform.service import Port, Service
from mlops_assets.platform.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops_assets.settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield int(server.getsockname()[1])


def _service(name: str, *numbers: int) -> Service:
    wanted = tuple(Port(number, f"MLOPS_{name.upper()}_PORT") for number in numbers)
    return Service(name, name, name, "", probe=lambda: None, argv=("true",), ports=wanted)


def test_a_port_in_use_names_port_holder_and_setting(taken: int) -> None:
    with pytest.raises(ports.PortInUseError) as error:
        ports.require_free([_service("registry", taken)])
    for part in (str(taken), "registry", f"pid {os.getpid()}", "MLOPS_REGISTRY_PORT"):
        assert part in str(error.value)


def test_two_services_cannot_want_one_port() -> None:
    (port,) = ports.free_ports(1)
    with pytest.raises(ports.PortInUseError, match=f"{port} is wanted by one and by two"):
        ports.require_free([_service("one", port), _service("two", port)])


def test_up_starts_nothing_when_a_port_is_in_use(make_settings: Callable[..., Settings], taken: int) -> None:
    settings = make_settings(mlflow_port=taken)
    with pytest.raises(ports.PortInUseError, match="MLOPS_MLFLOW_PORT"):
        platform.up(settings)
    assert not Supervisor(settings).running()
    assert orphans.platform(settings.state).processes() == []


def test_free_ports_are_free_and_distinct() -> None:
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    assert all(ports.is_free(port) and ports.is_free(port + 10_000) for port in found)


def test_chosen_ports_stay_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = ports.chosen_ports(file, ["a", "b"])
    more = ports.chosen_ports(file, ["a", "b", "c"])
    assert {name: more[name] for name in first} == first
    assert ports.chosen_ports(file, ["a", "b", "c"]) == more
