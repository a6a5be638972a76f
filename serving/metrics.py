"""What the endpoint tells Prometheus. All of it lives in the API process, which sees every request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from serving.holder import Status
    from serving.prediction_log.view import LogFigures
    from serving.store import RegistryNote

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

_LOG_ROWS = {
    "": "Rows answered that are in the prediction log",
    "shipped": "Rows of the prediction log that were brought to the object store",
    "dropped": "Rows of the prediction log that were dropped at its bound",
    "unlogged": "Rows answered without a log, at its bound",
}


class Metrics:
    """The metrics of one endpoint; each carries the label ``project``."""

    def __init__(self, project: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._project = project
        self._requests = self._counter("endpoint_requests", "Answers to /predict by HTTP status", "status")
        self._errors = self._counter(
            "endpoint_errors", "Answers to /predict that are errors: client (4xx), server (5xx)", "side"
        )
        self._rows = self._counter("endpoint_rows", "Rows predicted").labels(project)
        self._latency = Histogram(
            "endpoint_request_seconds",
            "From a request's head to its answer",
            ["project"],
            buckets=_SECONDS,
            registry=self.registry,
        ).labels(project)
        self._in_flight = self._gauge("endpoint_requests_in_flight", "Requests that wait for the model")
        self._ready = self._gauge("endpoint_ready", "1 if a model is loaded and its process answers")
        self._model = self._gauge(
            "endpoint_model_info", "The version that is served", "version", "training_set"
        )
        self._loaded = self._gauge("endpoint_model_loaded_timestamp_seconds", "When it was loaded")
        self._age = self._gauge("endpoint_model_age_seconds", "Since it was trained")
        self._refused = self._gauge(
            "endpoint_refused_versions", "Versions that the alias named and the endpoint refused"
        )
        self._registry_up = self._gauge("endpoint_registry_up", "1 if the registry and its store answer")
        self._log_counters = {
            what: self._counter(f"endpoint_log_{what}_rows" if what else "endpoint_log_rows", says).labels(
                project
            )
            for what, says in _LOG_ROWS.items()
        }
        self._log_known = dict.fromkeys(_LOG_ROWS, 0)
        self._log_bytes = self._gauge("endpoint_log_spool_bytes", "Bytes of the log that are not shipped yet")
        self._log_oldest = self._gauge(
            "endpoint_log_spool_oldest_seconds", "Since the oldest of them was begun; 0 if there are none"
        )
        self._shipper_up = self._gauge("endpoint_log_shipper_up", "1 if the log's shipper runs and can ship")
        self._refusing = self._gauge(
            "endpoint_log_refusing", "1 if requests are refused since the log can hold no more"
        )
        self._ok = self._requests.labels(project, "200")
        for side in (
            "client",
            "server",
        ):  # a series that appears with its first error hides that error's rate
            self._errors.labels(project, side)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, ["project", *labels], registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, ["project", *labels], registry=self.registry)

    def answered(self, status: int, rows: int, seconds: float) -> None:
        """Count one answer."""
        self._latency.observe(seconds)
        if status == 200:
            self._ok.inc()
            self._rows.inc(rows)
            return
        self._requests.labels(self._project, str(status)).inc()
        self._errors.labels(self._project, "server" if status >= 500 else "client").inc()

    def logged(self, figures: LogFigures, dropped_rows: int, *, refusing: bool) -> None:
        """Take in how the prediction log is."""
        found = {
            "": figures.rows - figures.unlogged_rows,
            "shipped": figures.note.shipped_rows if figures.note else 0,
            "dropped": dropped_rows,
            "unlogged": figures.unlogged_rows,
        }
        for what, rows in found.items():
            self._log_counters[what].inc(max(rows - self._log_known[what], 0))
            self._log_known[what] = max(rows, self._log_known[what])
        self._log_bytes.labels(self._project).set(figures.size.bytes)
        self._log_oldest.labels(self._project).set(figures.waiting_seconds or 0)
        self._shipper_up.labels(self._project).set(figures.shipper_up)
        self._refusing.labels(self._project).set(refusing)

    def page(
        self, status: Status | None, registry: RegistryNote | None, in_flight: int, trained: float
    ) -> bytes:
        """The exposition text; ``trained``: when the served model was trained, seconds since 1970."""
        name = self._project
        model = status.model if status else None
        self._ready.labels(name).set(model is not None)
        self._in_flight.labels(name).set(in_flight)
        self._refused.labels(name).set(len(status.refused) if status else 0)
        self._registry_up.labels(name).set(registry is not None and registry.up)
        self._model.clear()
        for gauge in (self._loaded, self._age):
            gauge.clear()
        if model is not None:
            self._model.labels(name, model.version, model.training_set).set(1)
            self._loaded.labels(name).set(model.loaded_at)
            self._age.labels(name).set(time.time() - trained)
        return generate_latest(self.registry)
