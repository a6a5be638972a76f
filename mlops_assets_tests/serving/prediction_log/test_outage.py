"""The object store is down while requests go on: nothing is lost before the bound, and then what was set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.services import ObjectStore, free_port
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.conftest import BIAS
from mlops_assets_tests.serving.harness import Endpoint, Lake, seed, trip
from mlops_assets_tests.serving.prediction_log.gate import Gate
from mlops_assets_tests.serving.prediction_log.traffic import Traffic, logged, reconcile
from serving.prediction_log import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOUND = 300_000


@pytest.fixture
def gate(object_store: ObjectStore) -> Iterator[Gate]:
    """The way to the object store, closed."""
    gate = Gate(free_port(), object_store.endpoint_url)
    yield gate
    gate.close()


@pytest.fixture
def begin(
    tmp_path: Path,
    start: Callable[..., Endpoint],
    object_store: ObjectStore,
    gate: Gate,
    buckets: tuple[str, str],
) -> Callable[..., Endpoint]:
    """Starts an endpoint that cannot reach its bucket, with the given policy."""

    def begin_with(policy: str, max_bytes: int = BOUND) -> Endpoint:
        seed(tmp_path / "store", toy.make_bundle(BIAS))
        store = ObjectStore(gate.url, object_store.access_key, object_store.secret_key, object_store.service)
        return start(
            lake=Lake(store, buckets[1]), at_bound=policy, max_bytes=max_bytes, segment_bytes=30_000,
            segment_seconds=0.5,
        )  # fmt: skip

    return begin_with


@pytest.mark.parametrize("policy", ["refuse", "drop_oldest", "unlogged"])
def test_an_outage_that_is_longer_than_the_spool(
    policy: str,
    begin: Callable[..., Endpoint],
    gate: Gate,
    object_store: ObjectStore,
    buckets: tuple[str, str],
) -> None:
    endpoint = begin(policy)
    with Traffic(endpoint.port, clients=4) as traffic:
        endpoint.until("the bound", lambda: endpoint.health()["log"]["status"] == "at_bound", 60)
        traffic.until(0 if policy == "refuse" else 300)
        health = endpoint.client.get("/health")
        assert (health.status_code, health.json()["log"]["refusing"]) == (
            (503, True) if policy == "refuse" else (200, False)
        )
        assert health.json()["status"] == "degraded"
        assert 0.5 * BOUND < (endpoint.metric("endpoint_log_spool_bytes") or 0) <= BOUND
        endpoint.until("the loss to show", lambda: endpoint.metric("endpoint_log_shipper_up") == 0)
        if policy == "refuse":
            refused = endpoint.predict(trip())
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert "prediction log is full" in refused.json()["error"]
        assert endpoint.metric("endpoint_log_refusing") == (policy == "refuse")
        gate.open()
        # At full speed on a busy machine, clients fill so small a spool as fast as it is shipped.
        traffic.slow_down()
        endpoint.until("the way back", lambda: endpoint.health()["log"]["status"] == "ok", 60)
        traffic.until(30)
    told = traffic.told
    assert set(told.statuses) == ({200, 503} if policy == "refuse" else {200})
    got = sum(len(probabilities) for probabilities in told.answers.values())
    figures = {
        what: endpoint.metric(f"endpoint_log_{what}_rows_total") or 0 for what in ("dropped", "unlogged")
    }
    assert {what for what, rows in figures.items() if rows} == (
        set() if policy == "refuse" else {"dropped" if policy == "drop_oldest" else "unlogged"}
    )
    endpoint.terminate()
    assert endpoint.service.popen.wait(40) == 0
    rows = logged(object_store, buckets[1])
    reconcile(told, rows, may_lack=lambda _: policy != "refuse")
    days = objects.list_days(object_store.client, buckets[1], "trips")
    counts = [one for day in days for one in objects.answered(object_store.client, buckets[1], "trips", day)]
    assert sum(one.rows for one in counts) == got
    assert sum(one.unlogged_rows for one in counts) == figures["unlogged"]
    assert sum(one.dropped_rows for one in counts) == figures["dropped"]
    assert len(rows) == got - sum(figures.values())


def test_a_shorter_one_loses_nothing_and_refuses_nothing(
    begin: Callable[..., Endpoint], gate: Gate, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    endpoint = begin("refuse", 100 * BOUND)
    with Traffic(endpoint.port, clients=2) as traffic:
        traffic.until(100)
        endpoint.until("the error to show", lambda: endpoint.health()["log"]["error"])
        endpoint.shipper().kill()
        traffic.until(50)
        gate.open()
        traffic.until(50)
    assert set(traffic.told.statuses) == {200}
    endpoint.terminate()
    assert endpoint.service.popen.wait(40) == 0
    reconcile(traffic.told, logged(object_store, buckets[1]))
