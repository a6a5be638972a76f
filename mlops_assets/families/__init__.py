"""Model families: how a candidate is fitted. Pure: no Dagster, no MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch (or boosting stage) with its number from 1 and its metrics."""


@dataclass(frozen=True)
class Examples:
    """What a family fits on: encoded model input and labels, oldest row first.

    ``x``: float32 (rows, len(numeric) + len(categorical)); numeric columns come first, raw and with
    NaN where missing; categorical columns are codes, 0 for a value not in the vocabulary.
    ``y``: float32 (rows,), 0 or 1. ``cardinalities``: codes of each categorical column, 0 included.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    cardinalities: tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """A fitted candidate: ONNX bytes (input ``X`` float32 (n, k), output ``probability`` float32 (n,)).

    ``history``: metrics by epoch; ``summary``: final figures (best epoch, seconds, device ...).
    """

    onnx: bytes
    params: Mapping[str, Any]
    history: tuple[Mapping[str, float], ...]
    summary: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints(Protocol):
    """Where a fit keeps how far it is: one whose process was ended goes on, instead of starting over."""

    def load(self) -> bytes | None:
        """What was saved last; None if nothing was."""
        ...

    def save(self, state: bytes) -> None:
        """Keep ``state`` in place of what was saved before, whole or not at all."""
        ...


class NoCheckpoints:
    """Keeps nothing."""

    def load(self) -> bytes | None:
        return None

    def save(self, state: bytes) -> None:
        del state


NO_CHECKPOINTS = NoCheckpoints()


@dataclass(frozen=True)
class Nodes:
    """The machines that a fit may use: ``count`` of them, with this one, which is the first.

    The others connect to the listening socket whose file descriptor is ``listener``; one that has not
    within ``patience`` seconds of the fit's begin does not come.
    """

    count: int = 1
    listener: int = -1
    patience: float = 60.0


ONE_NODE = Nodes()


class NodeLostError(RuntimeError):
    """One of the machines of a fit is gone, or has not come. No fault of the code's: try again."""


@runtime_checkable
class Family(Protocol):
    """A way to fit a candidate. Implementations are frozen declarations (``Network``, ``Boosting``).

    ``kinds``: what it is made with, as tags of the candidate's asset. ``over_nodes``: whether it can use more
    than one.
    """

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> frozenset[str]: ...

    @property
    def over_nodes(self) -> bool: ...

    def fit(
        self,
        examples: Examples,
        progress: Progress,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        nodes: Nodes = ONE_NODE,
    ) -> Fitted:
        """Fit on ``examples``; the last rows in time are the family's own validation rows.

        Goes on from what ``checkpoints`` holds of a fit of this same family on these same examples. A
        family that fits within seconds may ignore them. On how many ``nodes`` it fits changes nothing of
        what it comes to. Raises ``NodeLostError`` if one of them goes.
        """
        ...
