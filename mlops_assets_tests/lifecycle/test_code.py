"""Code versions and content hashes: what changes them, and what does not."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.families.boosting import Boosting
from mlops_assets.families.network import Network
from mlops_assets.lifecycle.code import code_version
from mlops_assets.projects.flight_delays import features
from mlops_assets.resources.lake import frame_hash

if TYPE_CHECKING:
    from pathlib import Path

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
