"""Every answer that a client got is in the log once, whatever was killed under load."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.conftest import BIAS
from mlops_assets_tests.serving.harness import Endpoint, Lake, gone, seed, trip
from mlops_assets_tests.serving.prediction_log.traffic import Traffic, logged, reconcile
from serving.prediction_log import objects, reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets_tests.services import ObjectStore

KILLS = 8


@pytest.fixture
def running(
    tmp_path: Path, start: Callable[..., Endpoint], object_store: ObjectStore, buckets: tuple[str, str]
) -> Endpoint:
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    return start(lake=Lake(object_store, buckets[1]), segment_seconds=0.4, segment_bytes=20_000)


def totals(store: ObjectStore, bucket: str) -> tuple[int, int]:
    """Rows that the API processes say they answered, and how many of these are not in the log."""
    days = objects.list_days(store.client, bucket, "trips")
    counts = [one for day in days for one in objects.answered(store.client, bucket, "trips", day)]
    return sum(one.rows for one in counts), sum(one.unlogged_rows + one.dropped_rows for one in counts)


def kill(endpoint: Endpoint, which: str) -> None:
    """Kill -9 of one process; if the server goes with it, start it again as a supervisor would."""
    victim = psutil.Process(endpoint.pid) if which == "main" else getattr(endpoint, which)()
    children = endpoint.children()
    victim.kill()
    if which in ("main", "api"):
        endpoint.service.popen.wait(20)
        assert gone(children, 10)
        endpoint.start()
    elif which == "worker":
        endpoint.until("the next model's process", lambda: endpoint.health()["version"] == "1")
    else:
        endpoint.until("the next shipper", lambda: endpoint.shipper().pid != victim.pid)


def test_no_answer_is_lost_or_logged_twice_whatever_is_killed(
    running: Endpoint, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    chance = random.Random(20131123)
    victims = ["worker", "shipper", "api", "main"] * (KILLS // 4)
    chance.shuffle(victims)
    with Traffic(running.port) as traffic:
        for which in victims:
            traffic.until(40)
            time.sleep(chance.random() * 0.5)
            kill(running, which)
        traffic.until(40)
    told = traffic.told
    assert set(told.statuses) == {200}, told.statuses
    running.terminate()
    assert running.service.popen.wait(40) == 0
    rows = logged(object_store, buckets[1])
    reconcile(told, rows)
    answered, _ = totals(object_store, buckets[1])
    got = sum(len(probabilities) for probabilities in told.answers.values())
    # Kills of the API process take answers between the socket and the client, or between it and the count.
    assert got - 6 * len(victims) <= answered <= len(rows)
    print(f"{len(told.answers)} answers, {len(told.unsure)} broken off, {len(rows)} rows logged")


def test_an_answer_that_was_recorded_but_not_sent_is_asked_again_and_logged_once(
    tmp_path: Path, start: Callable[..., Endpoint], object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    running = start(lake=Lake(object_store, buckets[1]), segment_seconds=100)  # one segment a process
    rows = [trip(distance=float(row), nap=0.2) for row in range(1000)]
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(running.predict(*rows).json())) for _ in range(24)
    ]
    worker, api = running.worker(), running.api()
    for thread in threads:
        thread.start()
    running.until(
        "all to be asked",
        lambda: len(answers) + (running.metric("endpoint_requests_in_flight") or 0) == len(threads),
    )
    os.kill(api.pid, signal.SIGSTOP)  # takes no more answers: the socket fills, sending blocks
    segments = running.store / "log" / "segments"

    def recorded() -> int:
        return sum(path.stat().st_size for path in segments.glob("*.segment"))

    before = 0
    while before == 0 or before != recorded():
        before = recorded()
        time.sleep(3)  # longer than a batch takes: it is stuck
    worker.kill()
    os.kill(api.pid, signal.SIGCONT)
    for thread in threads:
        thread.join(60)
    assert [len(answer["predictions"]) for answer in answers] == [1000] * 24
    running.terminate()
    assert running.service.popen.wait(40) == 0
    found = logged(object_store, buckets[1])
    assert {row["attempt"] for row in found} == {1, 2}
    assert len(found) == len({(row["request_id"], row["row"]) for row in found}) == 24_000
    assert totals(object_store, buckets[1]) == (24_000, 0)
    shipped = objects.list_objects(object_store.client, buckets[1], "trips")
    assert any(one.again for one in shipped)
    parts = [reader._open(object_store.client, buckets[1], one.key).metadata.num_rows for one in shipped]
    assert sum(parts) > 24_000  # what was recorded and not sent is there as well, and left out


def test_in_a_quiet_moment_what_was_answered_is_what_is_logged(
    running: Endpoint, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    with Traffic(running.port) as traffic:
        traffic.until(100)
    got = sum(len(probabilities) for probabilities in traffic.told.answers.values())
    running.until("all to be shipped", lambda: totals(object_store, buckets[1]) == (got, 0))
    assert len(logged(object_store, buckets[1])) == got
    assert running.metric("endpoint_log_rows_total") == got
    assert running.metric("endpoint_log_shipped_rows_total") == got
    running.until("an empty spool", lambda: running.metric("endpoint_log_spool_bytes") == 0)
    assert running.metric("endpoint_log_shipper_up") == 1
