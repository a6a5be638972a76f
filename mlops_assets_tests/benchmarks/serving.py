"""The endpoint beside stock LitServe, a bare FastAPI handler and MLflow's server, on one model and machine.

Single rows on 32 connections: requests a second. 1,000 rows a request: rows a second, beside the bare
model on the same rows in memory. Rounds are interleaved, medians are compared.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import psutil

from mlops_assets_tests.benchmarks import serving_model
from mlops_assets_tests.benchmarks.rows import Row
from mlops_assets_tests.benchmarks.serving_load import ROOT, Plan, Result, drive
from mlops_assets_tests.services import MINIMAL_ENV, Service, free_port, wait_until
from serving.config import command_line
from serving.store import Copy, Store

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
CONNECTIONS = 32
BATCH_CONNECTIONS = 4
BATCH_ROWS = 1000
OURS = "endpoint"
TARGETS = {"stock LitServe": 3.0, "bare FastAPI": 1.0, "MLflow scoring server": 15.0}
HALF = 0.5


def run() -> list[Row]:
    """The rows of both comparisons."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = Path(folder) / serving_model.FILE
        model.write_bytes(serving_model.train())
        asked = serving_model.instances(BATCH_ROWS)
        bare = serving_model.Bare.of(model.read_bytes(), asked)
        plans = _start_all(Path(folder), model, asked, stack)
        rates: dict[str, list[float]] = {name: [] for name in plans}
        for number in range(ROUNDS):
            for name, plan in plans.items():
                rates[name].append(checked(name, drive(plan)).rate)
            print(_line(number, rates), flush=True)
        rows = [_single(rates, name, target) for name, target in TARGETS.items()]
        return rows + _batch(plans[OURS].port, asked, bare)


def _single(rates: dict[str, list[float]], peer: str, target: float) -> Row:
    ours, theirs = statistics.median(rates[OURS]), statistics.median(rates[peer])
    ratio = ours / theirs
    return Row(
        f"serving: 1 row, 32 connections, vs {peer}",
        ours,
        theirs,
        "requests/s",
        ratio,
        target,
        ratio >= target,
    )


def _batch(port: int, asked: list[dict[str, Any]], bare: serving_model.Bare) -> list[Row]:
    """1,000-row requests: beside the model on the rows' columns, and beside its graph on ready numbers."""
    body = msgspec.json.encode({"instances": asked}).decode()
    plan = Plan(port=port, path="/predict", body=body, connections=BATCH_CONNECTIONS, seconds=3)
    found: dict[str, list[float]] = {OURS: [], "bare model": [], "bare graph, encoded rows": []}
    for _ in range(ROUNDS):
        found[OURS].append(checked(OURS, drive(plan)).rate * BATCH_ROWS)
        found["bare model"].append(_rows_a_second(bare.predict))
        found["bare graph, encoded rows"].append(_rows_a_second(bare.run))
    ours = statistics.median(found.pop(OURS))
    rows = []
    for name, rates in found.items():
        theirs = statistics.median(rates)
        target = HALF if name == "bare model" else None
        met = ours / theirs >= target if target else None
        rows.append(
            Row(
                f"serving: {BATCH_ROWS:,} rows, vs {name}", ours, theirs, "rows/s", ours / theirs, target, met
            )
        )
    return rows


def _rows_a_second(call: Callable[[], None], seconds: float = 1.0) -> float:
    call()
    calls, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        call()
        calls += 1
    return calls * BATCH_ROWS / took


def _start_all(folder: Path, model: Path, asked: list[dict[str, Any]], stack: ExitStack) -> dict[str, Plan]:
    """Start all four servers; how to ask each for one row."""
    # The same row for all, without missing values, which MLflow's server would make a text column of.
    whole = next(row for row in asked if None not in row.values())
    typed = msgspec.json.encode({"instances": [whole]}).decode()
    records = msgspec.json.encode({"dataframe_records": [whole]}).decode()
    peer = [sys.executable, "-m", "mlops_assets_tests.benchmarks.serving_peers"]
    commands: dict[str, Callable[[int], list[str]]] = {
        OURS: lambda port: _ours(folder, model, port),
        "stock LitServe": lambda port: [*peer, "litserve", str(model), str(port)],
        "bare FastAPI": lambda port: [*peer, "fastapi", str(model), str(port)],
        "MLflow scoring server": lambda port: _mlflow(folder, model, port),
    }
    plans = {}
    for name, command in commands.items():
        port = free_port()
        env = {
            **MINIMAL_ENV, "HOME": str(folder), "PYTHONPATH": str(ROOT),
            # The prediction log is on, as it is by default; there is no object store to ship it to.
            "MLOPS_HOME": str(folder), "MLOPS_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        }  # fmt: skip
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        service = Service(command(port), folder / f"{port}.log", env)
        stack.callback(stop, service)
        own = name == "MLflow scoring server"
        plans[name] = Plan(
            port=port,
            path="/invocations" if own else "/predict",
            body=records if own else typed,
            connections=CONNECTIONS,
        )
        wait_until(name, partial(answers, plans[name]), service, 120)
    return plans


def stop(service: Service) -> None:
    """Stop it and its children, which LitServe's and MLflow's leave behind."""
    children = psutil.Process(service.popen.pid).children(recursive=True)
    service.stop()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def answers(plan: Plan) -> bool:
    """Whether the plan's request is answered with 200."""
    answer = httpx.post(
        f"http://127.0.0.1:{plan.port}{plan.path}",
        content=plan.body,
        headers={"Content-Type": "application/json"},
    )
    return answer.status_code == 200


def _ours(folder: Path, model: Path, port: int) -> list[str]:
    """The endpoint, with the model as its local copy and a registry that does not answer."""
    store = Store(folder / "store")
    store.prepare()
    store.current = store.add(Copy(version="1", source="models:/benchmark#0"), model.read_bytes())
    options = ("--port", str(port), "--registry", "http://127.0.0.1:9", "--store", str(store.folder))
    return command_line(serving_model.PROJECT, *options)


def _mlflow(folder: Path, model: Path, port: int) -> list[str]:
    """``mlflow models serve`` of the same model, transform included."""
    import mlflow

    path = folder / "mlflow"
    code = ROOT / "mlops_assets_tests" / "benchmarks" / "serving_mlflow_model.py"
    mlflow.pyfunc.save_model(
        path, python_model=str(code), artifacts={"model": str(model)}, pip_requirements=["onnxruntime"]
    )
    return [
        str(Path(sys.executable).parent / "mlflow"), "models", "serve", "-m", str(path), "-h", "127.0.0.1",
        "-p", str(port), "--env-manager", "local", "--workers", "1",
    ]  # fmt: skip


def checked(name: str, result: Result) -> Result:
    """The result; ``RuntimeError`` if a request failed, or none was answered."""
    if result.failed or not result.answered:
        raise RuntimeError(f"{name}: {result.failed} of {result.answered} requests failed")
    return result


def _line(number: int, rates: dict[str, list[float]]) -> str:
    return f"round {number + 1}: " + ", ".join(f"{name} {found[-1]:,.0f}/s" for name, found in rates.items())
