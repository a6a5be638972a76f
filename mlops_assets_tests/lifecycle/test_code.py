"""Code versions and content hashes: what changes them, and what does not."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.definitions import build_definitions
from mlops_assets.families.boosting import Boosting
from mlops_assets.families.network import Network
from mlops_assets.lifecycle import code
from mlops_assets.lifecycle.code import code_version
from mlops_assets.projects.flight_delays import features
from mlops_assets.resources.lake import frame_hash
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, np.nan, 1.5]})


def test_a_hyperparameter_changes_the_code_version() -> None:
    assert code_version(Network()) == code_version(Network())
    assert code_version(replace(Network(), dropout=0.31)) != code_version(Network())
    assert code_version(Boosting()) != code_version(Network())


def test_another_transform_changes_it() -> None:
    assert code_version(features.transform, Network()) != code_version(Network())


def test_the_source_beside_it_changes_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(source: str, beside: str = "") -> str:
        name = f"m_{abs(hash(source + beside))}"
        path = tmp_path / name / "m.py"
        path.parent.mkdir()
        path.write_text(source)
        (path.parent / "beside.py").write_text(beside)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return code_version(module.build)

    first = version("def build():\n    return 1\n")
    assert version("def build():\n    return 2\n") != first
    assert version("def build():\n    return 1\n", "OTHER = 1\n") != first


def test_the_same_frame_has_the_same_hash_however_it_was_made() -> None:
    assert frame_hash(FRAME.copy()) == frame_hash(FRAME)
    assert frame_hash(FRAME.set_index(np.array([7, 8, 9]))) == frame_hash(FRAME)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(FRAME.iloc[::-1], id="order of rows"),
        pytest.param(FRAME[["b", "a", "c"]], id="order of columns"),
        pytest.param(FRAME.rename(columns={"a": "A"}), id="a name"),
        pytest.param(FRAME.assign(a=[1, 2, 4]), id="a value"),
        pytest.param(FRAME.assign(b=["x", "", "z"]), id="missing or empty"),
        pytest.param(FRAME.assign(c=[0.5, 0.0, 1.5]), id="missing or zero"),
        pytest.param(FRAME.assign(a=FRAME["a"].astype("int32")), id="a type"),
        pytest.param(FRAME.head(2), id="fewer rows"),
    ],
)
def test_another_frame_has_another_hash(other: pd.DataFrame) -> None:
    assert frame_hash(other) != frame_hash(FRAME)


def test_a_change_to_a_projects_folder_changes_that_projects_assets_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two projects of the same code, each in a folder of its own, as two products are."""
    real = Path(features.__file__).parent
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("one", "two"):
        folder = tmp_path / f"folder_of_{name}"
        folder.mkdir()
        for file in real.glob("*.py"):
            text = file.read_text().replace("mlops_assets.projects.flight_delays", folder.name)
            (folder / file.name).write_text(text)

    def versions() -> dict[dg.AssetKey, str | None]:
        for module in [module for module in sys.modules if module.startswith("folder_of_")]:
            del sys.modules[module]
        code._sources.cache_clear()
        projects = [
            importlib.import_module(f"folder_of_{name}.project").PROJECT.model_copy(update={"name": name})
            for name in ("one", "two")
        ]
        found = build_definitions(Settings(_env_file=None), projects=projects).get_repository_def()
        return {
            key: found.asset_graph.get(key).code_version
            for key in found.asset_graph.materializable_asset_keys
        }

    before = versions()
    assert versions() == before
    changed = tmp_path / "folder_of_two" / "features.py"
    changed.write_text(f"{changed.read_text()}\n# another idea\n")
    after = versions()
    other = {key for key in before if before[key] != after[key]}
    assert {key.path[0] for key in other} == {"two"}
    assert {"features", "candidates"} <= {key.path[1] for key in other}
