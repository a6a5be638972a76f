"""Clients that go on asking whatever happens, and the answers they got, to be held against the log."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from mlops_assets_tests.serving.harness import trip
from mlops_assets_tests.serving.toy import TOY
from serving.prediction_log import objects, reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.services import ObjectStore

COLUMNS = ["request_id", "answer_id", "row", "attempt", "version", "probability", "received.distance"]


@dataclass
class Told:
    """What clients were told. ``answers``: request id -> probabilities; ``unsure``: no answer came."""

    answers: dict[str, list[float]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


class Traffic:
    """Threads that each send one request after the other, 1 to 3 rows, every one with an id of its own."""

    def __init__(self, port: int, clients: int = 6, **changes: Any) -> None:
        self.told = Told()
        self._port = port
        self._changes = changes
        self._stopping = threading.Event()
        self._rest = 0.0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def slow_down(self, seconds: float = 0.1) -> None:
        """Have each client rest between its requests from now on."""
        self._rest = seconds

    def until(self, answers: int, seconds: float = 60) -> None:
        """Wait for so many more answers."""
        wanted = len(self.told.answers) + answers
        deadline = time.monotonic() + seconds
        while len(self.told.answers) < wanted:
            assert time.monotonic() < deadline, f"no {answers} answers in {seconds} s: {self.told.statuses}"
            time.sleep(0.02)

    def _ask_on(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=40)
        number = 0
        while not self._stopping.is_set():
            number += 1
            time.sleep(self._rest)
            name = f"client-{client}-{number}"
            rows = [trip(distance=float(number * 10 + row), **self._changes) for row in range(1 + number % 3)]
            try:
                connection.request(
                    "POST", "/predict", json.dumps({"instances": rows}), {"X-Request-ID": name}
                )
                response = connection.getresponse()
                body = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                with self._lock:
                    self.told.unsure.add(name)
                connection.close()  # it connects again by itself
                time.sleep(0.05)
                continue
            with self._lock:
                self.told.statuses[response.status] += 1
                if response.status == 200:
                    self.told.answers[name] = [row["probability"] for row in body["predictions"]]
        connection.close()


def logged(store: ObjectStore, bucket: str) -> list[dict[str, Any]]:
    """All rows of the toy project's log in the bucket."""
    keys = [found.key for found in objects.list_objects(store.client, bucket, TOY.name)]
    batches = reader.read_batches(store.client, bucket, keys, COLUMNS)
    return [row for batch in batches for row in batch.to_pylist()]


def reconcile(told: Told, rows: list[dict[str, Any]], may_lack: Callable[[str], bool] | None = None) -> None:
    """Hold the log against what clients were told: none missing, none twice, each as it was answered."""
    places = Counter((row["answer_id"], row["row"]) for row in rows)
    assert not [place for place, times in places.items() if times > 1], "the same answer is logged twice"
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        parts = found.setdefault(row["request_id"], {})
        assert row["row"] not in parts, f"{row['request_id']} is logged under two answer ids"
        parts[row["row"]] = row["probability"]
    missing = [name for name in told.answers if name not in found and not (may_lack and may_lack(name))]
    assert not missing, f"{len(missing)} of {len(told.answers)} answers are not in the log: {missing[:5]}"
    for name, probabilities in told.answers.items():
        if name in found:
            assert [found[name][row] for row in range(len(found[name]))] == probabilities
    # What is logged beyond that was predicted, and the connection broke before the answer came through.
    assert set(found) - set(told.answers) <= told.unsure
