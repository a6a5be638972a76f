"""A stored model carries what it needs to be served and to prove itself."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec
import numpy as np
import pytest

from mlops_assets.bundle import read_bundle
from mlops_assets.families.boosting import Boosting
from mlops_assets.families.network import Network
from mlops_assets.families.packaging import EXAMPLE_ROWS, make_bundle, make_instances
from mlops_assets.families.validation import roc_auc
from mlops_assets_tests.families.data import encoded, training
from mlops_assets_tests.projects.flight_delays.data import PROJECT, features
from serving.predictor import Predictor

FAMILIES = (Boosting(stages=40), Network(max_epochs=3, batch_rows=256, device="cpu"))


@lru_cache(maxsize=2)
def stored(family: Boosting | Network) -> bytes:
    examples, vocabularies = encoded()
    fitted = family.fit(examples, lambda *_: None)
    return make_bundle(PROJECT, family, fitted, vocabularies, training(), "0123abcd", "v1")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.name))
def test_a_stored_model_is_read_back_and_proves_itself(family: Boosting | Network) -> None:
    bundle = read_bundle(stored(family))
    assert (bundle.project, bundle.family) == ("flight_delays", family.name)
    assert (bundle.training_set, bundle.code_version) == ("0123abcd", "v1")
    assert tuple(bundle.numeric) == PROJECT.features.numeric
    assert tuple(bundle.vocabularies) == PROJECT.features.categorical
    assert bundle.vocabularies == encoded()[1]
    assert datetime.fromisoformat(bundle.created).tzinfo is not None
    assert len(bundle.examples) == len(bundle.expected) == EXAMPLE_ROWS
    predictor = Predictor.load(stored(family), PROJECT)
    predictor.prove()
    later = features("2013-04").iloc[::5]
    assert roc_auc(later["late"].to_numpy(), predictor.predict_frame(later).probability) > 0.55


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.name))
def test_requests_and_batches_get_the_same_answers(family: Boosting | Network) -> None:
    predictor = Predictor.load(stored(family), PROJECT)
    bundle = predictor.bundle
    rows = msgspec.convert(bundle.examples, list[PROJECT.features.instance])  # type: ignore[name-defined]
    columns = {
        name: np.array([getattr(row, name) for row in rows], dtype=object)
        for name in PROJECT.features.instance_fields
    }
    together = predictor.predict(columns).probability
    alone = [
        predictor.predict({name: values[i : i + 1] for name, values in columns.items()}).probability[0]
        for i in range(len(rows))
    ]
    np.testing.assert_allclose(together, bundle.expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(alone, bundle.expected, atol=1e-6, rtol=0)


def test_the_example_rows_are_real_hard_and_json() -> None:
    frame = training()
    instances = make_instances(PROJECT, frame)
    assert len(instances) == EXAMPLE_ROWS
    assert msgspec.json.decode(msgspec.json.encode(instances)) == instances
    msgspec.convert(instances, list[PROJECT.features.instance])  # type: ignore[name-defined]
    gaps = max(sum(value is None for value in instance.values()) for instance in instances)
    assert gaps == frame[list(PROJECT.features.instance_fields)].isna().sum(axis=1).max() > 1
    unknown = [instance for instance in instances if instance["carrier"] not in set(frame["carrier"])]
    assert len(unknown) == 1
    assert len({instance["scheduled_departure"] for instance in instances}) > EXAMPLE_ROWS // 2
