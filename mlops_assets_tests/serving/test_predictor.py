"""Loading, proving and predicting with a stored model."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest

from mlops_assets.bundle import KEY, Bundle, BundleError, read_bundle, write_bundle
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import ROOT
from serving.predictor import Predictor, ProofError

BIAS = 0.25
FRAME = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "carrier": ["AA", "UA", "never seen"],
        "distance": [100, 2400, 760],
        "hour": [8, 9, 10],
        "weekend": [False, True, False],
        "hot": pd.array([None, 0.5, 1.0], dtype="Float64"),
        "nap": 0.0,
    }
)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(toy.make_bundle(BIAS), toy.TOY)


def test_predicts_what_the_formula_says_and_marks_what_it_never_saw(predictor: Predictor) -> None:
    found = predictor.predict_frame(FRAME)
    wanted = [
        toy.expected(BIAS, "AA", 100),
        toy.expected(BIAS, "UA", 2400, 0.5),
        toy.expected(BIAS, "?", 760, 1.0),
    ]
    np.testing.assert_allclose(found.probability, wanted, atol=1e-6)
    assert found.probability.dtype == np.float64
    assert found.unknown["carrier"].tolist() == [False, False, True]


def test_a_frame_and_requests_rows_give_the_same(predictor: Predictor) -> None:
    rows = [
        toy.Trip(carrier="AA", distance=100, hour=8),
        toy.Trip(carrier="UA", distance=2400, hour=9, weekend=True, hot=0.5),
        toy.Trip(carrier="never seen", distance=760, hour=10, hot=1.0),
    ]
    columns = predictor._columns.of(rows)
    canonical = predictor._columns.canonical({name: FRAME[name] for name in columns})
    for name, column in columns.items():  # missing values included, which are NaN in both
        np.testing.assert_array_equal(canonical[name], column)
        assert canonical[name].dtype == column.dtype
    found = predictor.predict_canonical(columns).probability
    np.testing.assert_array_equal(found, predictor.predict_frame(FRAME).probability)


def test_a_missing_category_is_not_marked_as_unknown(predictor: Predictor) -> None:
    frame = FRAME.assign(carrier=pd.array([None, pd.NA, "AA"], dtype="string"))
    assert predictor.predict_frame(frame).unknown["carrier"].tolist() == [False, False, False]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"drop": "hot"}, KeyError, "hot"),
        ({"hour": [8.0, np.nan, 10.0]}, ValueError, "hour has missing values"),
        ({"distance": ["far", "far", "far"]}, ValueError, "far"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    predictor: Predictor, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    frame = FRAME.drop(columns=changes["drop"]) if "drop" in changes else FRAME.assign(**changes)
    with pytest.raises(error, match=words):
        predictor.predict({name: frame[name].to_numpy() for name in frame.columns})


def test_a_good_model_is_proven(predictor: Predictor) -> None:
    predictor.prove()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expected": [0.1, 0.2, 0.3, 0.4]}, "does not reproduce 4 of its 4 example rows: row 0 gives"),
        ({"expected": [float("nan")] * 4}, "does not reproduce 4"),
        ({"examples": [{"carrier": "AA"}] * 4}, "fails on its own 4 example rows"),
    ],
)
def test_a_model_that_does_not_reproduce_its_examples_is_not(changes: dict[str, Any], words: str) -> None:
    bundle = read_bundle(toy.make_bundle(BIAS))
    broken = msgspec.structs.replace(bundle, **{k: v for k, v in changes.items() if k != "expected"})
    loaded = Predictor.load(write_bundle(toy.make_graph(BIAS), broken), toy.TOY)
    if "expected" in changes:  # NaN is no JSON: it can only be there in memory
        loaded.bundle = msgspec.structs.replace(broken, expected=changes["expected"])
    with pytest.raises(ProofError, match=words):
        loaded.prove()


def test_a_drift_of_more_than_the_tolerance_is_found() -> None:
    bundle = read_bundle(toy.make_bundle(BIAS))
    near = [value + 5e-7 for value in bundle.expected]
    far = [*near[:3], bundle.expected[3] + 2e-6]
    Predictor.load(toy.make_bundle(BIAS, expected=near), toy.TOY).prove()
    with pytest.raises(ProofError, match="1 of its 4 example rows: row 3"):
        Predictor.load(toy.make_bundle(BIAS, expected=far), toy.TOY).prove()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "do not load as an ONNX model"),
        (b"\x80\x04K\x01.", "do not load as an ONNX model"),
        (toy.make_graph(1.0), f"no metadata '{KEY}'"),
        (toy.make_bundle(1.0, project="other"), "belongs to project other, not to trips"),
        (toy.make_bundle(1.0, numeric=["hot", "far"]), "trained on other features"),
        (toy.make_bundle(1.0, vocabularies={"airline": ["AA"]}), "trained on other features"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        Predictor.load(data, toy.TOY)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere\.onnx"):
        Predictor.load(tmp_path / "nowhere.onnx", toy.TOY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "bundle format 2"),
        ({"examples": [], "expected": []}, "prove nothing"),
        ({"expected": [0.5]}, "4 examples with 1 expected"),
        ({"threshold": 1.0}, "threshold 1.0"),
        ({"numeric": ["far", "far"]}, "named twice: far"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_not_written(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        toy.make_bundle(1.0, **changes)


def test_metadata_that_is_no_bundle_is_refused() -> None:
    model = onnx.load_model_from_string(toy.make_graph(1.0))
    model.metadata_props.add(key=KEY, value='{"format": 1}')
    with pytest.raises(BundleError, match="missing required field"):
        read_bundle(model.SerializeToString())


def test_a_bundle_is_read_as_it_was_written_and_replaced_when_written_again() -> None:
    first = toy.make_bundle(1.0)
    bundle = read_bundle(first)
    assert isinstance(bundle, Bundle)
    assert bundle.columns == ["far", "hot", "carrier"]
    again = write_bundle(first, msgspec.structs.replace(bundle, code_version="2"))
    assert read_bundle(again).code_version == "2"
    assert len(onnx.load_model_from_string(again).metadata_props) == 1
    with pytest.raises(BundleError, match="not an ONNX model"):
        write_bundle(b"no model", bundle)


_UNPICKLE_NOTHING = """
import sys
from pathlib import Path
import onnxruntime, pandas, mlops_assets_tests.serving.toy as toy
from serving.predictor import Predictor
seen = []
sys.addaudithook(lambda name, args: seen.append(name) if name == "pickle.find_class" else None)
predictor = Predictor.load(Path(sys.argv[1]), toy.TOY)
predictor.prove()
loaded = len(seen)
import pickle
pickle.loads(pickle.dumps(toy.Trip(carrier="AA", distance=1, hour=1)))
print(loaded, len(seen) > loaded)
"""


def test_loading_unpickles_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(toy.make_bundle(BIAS))
    command = [sys.executable, "-c", _UNPICKLE_NOTHING, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["0", "True"]


def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(BundleError):
        Predictor.load(pickle.dumps(Evil()), toy.TOY)
    assert not (tmp_path / "ran").exists()
