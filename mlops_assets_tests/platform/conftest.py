"""Platforms in temporary folders, on free ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets import platform
from mlops_assets.platform import orphans
from mlops_assets.platform.ports import free_ports
from mlops_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MakeSettings = "Callable[..., Settings]"


def settings_for(home: Path, **others: Any) -> Settings:
    """Settings of a platform in ``home``, whose ports are free; nothing is read from ``.env``."""
    names = ("s3", "mlflow", "dagster", "code_location", "endpoint_base", "metrics")
    ports = {f"{name}_port": port for name, port in zip(names, free_ports(len(names)), strict=True)}
    return Settings(_env_file=None, home=home, **{**ports, **others})


@pytest.fixture
def make_settings(tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """Makes settings of one platform in a folder of this test's own; what it starts is ended with it."""
    made: list[Settings] = []

    def make(**others: Any) -> Settings:
        made.append(settings_for(tmp_path / "home", **others))
        return made[-1]

    yield make
    for settings in made:
        platform.down(settings)
        orphans.end(orphans.platform(settings.state).processes())


@pytest.fixture
def shell(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A platform that is the one of this process's environment, as for the command line."""
    settings = make_settings()
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield settings
    get_settings.cache_clear()
