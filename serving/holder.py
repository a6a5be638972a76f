"""The model in use: follows the store's ``wanted`` note, proves a version beside the old one, swaps."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mlops_assets.bundle import BundleError
from serving.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.project import Project
    from serving.store import Copy, Store

LOOK_SECONDS = 0.1
logger = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """A version that was not taken, why, and when (seconds since 1970)."""

    version: str
    reason: str
    at: float


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What ``/info`` says of the model in use. Times are seconds since 1970."""

    version: str
    source: str
    family: str
    training_set: str
    code_version: str
    created: str
    loaded_at: float
    load_seconds: float
    threshold: float
    proven_rows: int
    held_out: str
    scores: dict[str, float]


class Status(msgspec.Struct, frozen=True):
    """What the model's process tells the API process: at the start, and at every change."""

    model: Loaded | None
    refused: list[Refusal]


@dataclass(frozen=True)
class Served:
    """One version, whole: a batch takes it once and answers with nothing else."""

    predictor: Predictor
    loaded: Loaded
    model_json: bytes
    """The ``model`` object of every answer, encoded."""


class Holder:
    """Holds the served version; ``current`` is replaced as one reference, between two batches."""

    def __init__(self, store: Store, project: Project, changed: Callable[[], None]) -> None:
        """``changed`` is called after each swap and refusal, from the thread that did it."""
        self.current: Served | None = None
        self._store = store
        self._project = project
        self._changed = changed
        self._refused: dict[str, Refusal] = {}
        self._tried: Copy | None = None

    @property
    def status(self) -> Status:
        served = self.current
        return Status(served.loaded if served else None, list(self._refused.values()))

    def start(self) -> None:
        """Take the version of the last run, if any, then follow the store in a thread."""
        if (copy := self._store.current) is not None:
            self._take(copy)
        threading.Thread(target=self._follow, name="model-holder", daemon=True).start()

    def _follow(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                logger.exception("the store %s cannot be followed; trying again", self._store.folder)
            time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Take the wanted version, unless it is in use, or was tried since the alias last moved."""
        wanted = self._store.wanted
        if wanted is None or wanted == self._tried:
            return
        self._tried = wanted
        served = self.current
        in_use = served and (served.loaded.version, served.loaded.source)
        if in_use == (wanted.version, wanted.source):
            self._accept(wanted)
        else:
            self._take(wanted)

    def _take(self, copy: Copy) -> None:
        try:
            self.current = self._load(copy)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one goes on
            logger.warning("version %s of %s is refused: %s", copy.version, self._project.name, error)
            self._refused[copy.folder] = Refusal(copy.version, str(error), time.time())
            self._changed()
            return
        self._tried = copy
        self._accept(copy)

    def _accept(self, copy: Copy) -> None:
        self._store.current = copy
        # The champion is served: nothing that was refused before it is wanted any more.
        self._refused.clear()
        logger.info("serving version %s of %s", copy.version, self._project.name)
        self._changed()

    def _load(self, copy: Copy) -> Served:
        if copy.problem is not None:
            raise BundleError(copy.problem)
        started = time.monotonic()
        predictor = Predictor.load(self._store.model(copy), self._project)
        predictor.prove()
        bundle = predictor.bundle
        loaded = Loaded(
            version=copy.version,
            source=copy.source,
            family=bundle.family,
            training_set=bundle.training_set,
            code_version=bundle.code_version,
            created=bundle.created,
            loaded_at=time.time(),
            load_seconds=time.monotonic() - started,
            threshold=bundle.threshold,
            proven_rows=len(bundle.examples),
            held_out=copy.held_out,
            scores=copy.scores,
        )
        names = {"project": self._project.name, "version": copy.version}
        return Served(predictor, loaded, msgspec.json.encode(names))
