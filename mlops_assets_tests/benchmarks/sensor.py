"""What a tick of the S3 sensor costs when there is nothing new, beside dagster-aws's ``get_objects``."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as sa
from dagster_aws.s3.sensor import get_objects

from mlops_assets.automation import s3_sensor
from mlops_assets.automation.places import Place
from mlops_assets.automation.recording import Recording, Seen
from mlops_assets.project import Partitions, Project
from mlops_assets.resources.s3 import SharedS3Resource
from mlops_assets.resources.tables import Tables, object_versions
from mlops_assets_tests import services
from mlops_assets_tests.automation import toy
from mlops_assets_tests.automation.uploads import put_many
from mlops_assets_tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dagster._core.definitions.sensor_definition import SensorExecutionData

OBJECTS = 100_000
ROUNDS = 3
_BUCKET = "raw"
_FIRST_DAY = date(2000, 1, 1)


def run(objects: int = OBJECTS) -> list[Row]:
    """Two rows, in seconds a tick: as it goes on, and the first one of a new process."""
    with (
        tempfile.TemporaryDirectory(prefix="sensor-bench-") as folder,
        _sensor(Path(folder), objects) as bench,
    ):
        bench.tick()
        bench.tick()
        warm, cold, peer = [], [], []
        for _ in range(ROUNDS):
            warm.append(_seconds(bench.tick))
            peer.append(_seconds(bench.peer))
            bench.forget_process()
            cold.append(_seconds(bench.tick))
    what = f"{objects:,} objects, nothing new"
    return [_row(f"sensor tick, {what}", warm, peer), _row(f"sensor's first tick, {what}", cold, peer)]


def _row(name: str, ours: list[float], peer: list[float]) -> Row:
    ratio = median(peer) / median(ours)
    return Row(name, median(ours), median(peer), "s", ratio, 1.0, ratio >= 1.0)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class _Bench:
    """The sensor on its project's objects, and its peer on the same."""

    def __init__(self, project: Project, s3: SharedS3Resource, tables: Tables, objects: int) -> None:
        self.s3, self.tables, self.objects = s3, tables, objects
        self.defs = toy.definitions(project, _BUCKET, s3, tables)
        self.sensor = self.defs.get_repository_def().get_sensor_def(f"{project.name}_s3")
        self.prefix = f"{project.name}/"
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None
        newest = get_objects(_BUCKET, self.prefix, client=s3.get_client())
        self.since = str(newest[-1]["Key"])

    def tick(self) -> None:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=self.defs,
            resources={"s3": self.s3, "tables": self.tables},
        ) as context:
            data: SensorExecutionData = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        if data.run_requests or f"{self.objects} objects are known" not in (data.skip_message or ""):
            raise RuntimeError(f"the tick did not see what is there: {data.skip_message}")

    def peer(self) -> None:
        if get_objects(_BUCKET, self.prefix, since_key=self.since, client=self.s3.get_client()):
            raise RuntimeError("the peer found something new")

    def forget_process(self) -> None:
        s3_sensor._memories.clear()


@contextmanager
def _sensor(folder: Path, objects: int) -> Iterator[_Bench]:
    store = services.start_object_store(folder / "s3")
    postgres = services.PostgresServer(folder / "postgres")
    try:
        s3 = SharedS3Resource(
            endpoint_url=store.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
        )
        tables = Tables(url=postgres.url("sensor"))
        project, keys = _project(objects)
        store.client.create_bucket(Bucket=_BUCKET)
        store.client.put_bucket_versioning(Bucket=_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        put_many(store, _BUCKET, keys)
        _record(project, s3.get_client(), tables)
        yield _Bench(project, s3, tables, objects)
        tables.engine.dispose()
    finally:
        store.service.stop()
        postgres.stop()


def _project(objects: int) -> tuple[Project, list[str]]:
    """A project of ten daily sources, and the keys of as many objects as days are needed for."""
    base = toy.project("bench")
    source = base.source("flights")
    sources = tuple(
        source.model_copy(update={"name": f"source_{n}", "pattern": f"source_{n}/{{partition}}.csv"})
        for n in range(10)
    )
    days = [str(_FIRST_DAY + timedelta(days=n)) for n in range(-(-objects // len(sources)))]
    partitions = Partitions(every="day", start=days[0], end=days[-1])
    project = base.model_copy(update={"sources": sources, "partitions": partitions})
    keys = [source.key(project.name, day) for source in sources for day in days]
    return project, keys[:objects]


def _record(project: Project, client: Any, tables: Tables) -> None:
    """The ledger as it is once all objects were seen and read."""
    places = {source.name: source for source in project.sources}

    def place(key: str) -> Place:
        name = key.split("/")[1]
        return Place(name, places[name].match(project.name, key) or "")

    recording = Recording(tables.engine, project.name, place)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET, Prefix=f"{project.name}/")
    for page in pages:
        recording.record(
            Seen(item["Key"], "seeded", item["ETag"].strip('"'), item["Size"], item["LastModified"])
            for item in page["Contents"]
        )
    with tables.engine.begin() as connection:
        connection.execute(sa.update(object_versions).values(state="handled", run_id="seeded"))
    with tables.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze mlops.object_versions"))  # as autovacuum does in time
