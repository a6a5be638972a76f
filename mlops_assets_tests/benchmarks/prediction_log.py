"""What the prediction log costs: the endpoint's requests a second with it, beside without it.

Single rows on 32 connections, as in ``serving``. The log is as it is set by default, its shipper ships to a
real object store on the same machine meanwhile, and what is answered is held against what arrives there.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_assets_tests.benchmarks import serving_model
from mlops_assets_tests.benchmarks.rows import Row
from mlops_assets_tests.benchmarks.serving import CONNECTIONS, answers, checked, stop
from mlops_assets_tests.benchmarks.serving_load import ROOT, Plan, drive
from mlops_assets_tests.services import (
    MINIMAL_ENV,
    ObjectStore,
    Service,
    free_port,
    start_object_store,
    wait_until,
)
from serving.config import command_line
from serving.prediction_log import objects, reader
from serving.store import Copy, Store

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 7
SECONDS = 2.5
TARGET = 0.9
BUCKET = "lake"


def run() -> list[Row]:
    """One row: with the log, beside without it."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = start_object_store(Path(folder) / "s3")
        stack.callback(store.service.stop)
        store.client.create_bucket(Bucket=BUCKET)
        model = serving_model.train()
        plans = {
            "on": _start(Path(folder) / "on", model, _lake(store), stack),
            "off": _start(Path(folder) / "off", model, {"MLOPS_PREDICTION_LOG": "off"}, stack),
        }
        rates: dict[str, list[float]] = {name: [] for name in plans}
        for number in range(ROUNDS):
            # Each goes first as often as second: what runs first meets the other's leftovers.
            for name in sorted(plans, reverse=number % 2 == 0):
                rates[name].append(checked(name, drive(plans[name])).rate)
            print(
                f"round {number + 1}: with {rates['on'][-1]:,.0f}/s, without {rates['off'][-1]:,.0f}/s",
                flush=True,
            )
        _reconcile(store)
    on, off = (statistics.median(rates[name]) for name in ("on", "off"))
    name = f"prediction log: 1 row, {CONNECTIONS} connections, on vs off"
    return [Row(name, on, off, "requests/s", on / off, TARGET, on / off >= TARGET)]


def _lake(store: ObjectStore) -> dict[str, str]:
    return {
        "MLOPS_S3_ENDPOINT_URL": store.endpoint_url,
        "MLOPS_S3_ACCESS_KEY_ID": store.access_key,
        "MLOPS_S3_SECRET_ACCESS_KEY": store.secret_key,
        "MLOPS_LAKE_BUCKET": BUCKET,
    }


def _start(folder: Path, model: bytes, settings: Mapping[str, str], stack: ExitStack) -> Plan:
    """An endpoint with the model as its local copy and a registry that does not answer; how to ask it."""
    store = Store(folder / "store")
    store.prepare()
    store.current = store.add(Copy(version="1", source="models:/benchmark#0"), model)
    port = free_port()
    options = ("--port", str(port), "--registry", "http://127.0.0.1:9", "--store", str(store.folder))
    env = {**MINIMAL_ENV, "HOME": str(folder), "MLOPS_HOME": str(folder), "PYTHONPATH": str(ROOT), **settings}
    service = Service(command_line(serving_model.PROJECT, *options), folder / "log", env)
    stack.callback(stop, service)
    whole: dict[str, Any] = next(row for row in serving_model.instances(1000) if None not in row.values())
    body = msgspec.json.encode({"instances": [whole]}).decode()
    plan = Plan(port=port, path="/predict", body=body, connections=CONNECTIONS, seconds=SECONDS)
    wait_until("the endpoint", partial(answers, plan), service, 120)
    return plan


def _reconcile(store: ObjectStore) -> None:
    """Wait until all that was answered is in the bucket; an error if that does not come to be."""
    name = serving_model.PROJECT.name

    def counts() -> tuple[int, int]:
        (day, *_) = objects.list_days(store.client, BUCKET, name)
        answered = sum(one.rows for one in objects.answered(store.client, BUCKET, name, day))
        keys = [found.key for found in objects.list_objects(store.client, BUCKET, name)]
        batches = reader.read_batches(store.client, BUCKET, keys, ["row"])
        return answered, sum(batch.num_rows for batch in batches)

    def complete() -> bool:
        answered, logged = counts()
        return answered == logged > 0

    wait_until("the log to be complete", complete, seconds=60)
    print(f"{counts()[0]:,} answers, all of them in the log", flush=True)
