"""How far a network's fit is: what a checkpoint holds beside the weights."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mlops_assets.families import Examples
    from mlops_assets.families.network import Network


class Point(msgspec.Struct, frozen=True):
    """After an epoch. ``fit`` names the fit; ``final``: the search for the number of epochs is over.

    ``history``: metrics of each epoch of the search; ``best_epoch``: from 1, 0 before there is one;
    ``done``: epochs of the final fit.
    """

    fit: str
    history: tuple[dict[str, float], ...] = ()
    best_epoch: int = 0
    final: bool = False
    done: int = 0

    @property
    def epochs(self) -> int:
        """Epochs that were trained so far."""
        return len(self.history) + self.done

    def after(self, metrics: dict[str, float]) -> Point:
        """One more epoch of the search: the best so far is the one of least validation loss."""
        losses = [row["validation_loss"] for row in self.history]
        best = losses[self.best_epoch - 1] if self.best_epoch else float("inf")
        better = metrics["validation_loss"] < best
        best_epoch = len(losses) + 1 if better else self.best_epoch
        return msgspec.structs.replace(self, history=(*self.history, metrics), best_epoch=best_epoch)


def fit_id(family: Network, examples: Examples) -> str:
    """Names a fit by all that its result depends on; on how many processes and where is not of that."""
    digest = hashlib.sha256(repr(replace(family, processes=1, device="auto")).encode())
    for array in (examples.x, examples.y):
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def pack(point: Point, tensors: dict[str, Any]) -> bytes:
    """A checkpoint: ``point`` and the states of network, average, optimizer and random numbers."""
    import torch

    buffer = io.BytesIO()
    torch.save({"point": msgspec.json.encode(point).decode(), **tensors}, buffer)
    return buffer.getvalue()


def unpack(state: bytes, fit: str) -> tuple[Point, dict[str, Any]]:
    """What ``pack`` made; runs no code of it.

    Raises ``ValueError`` if it cannot be read or is of another fit than ``fit``.
    """
    import torch

    try:
        tensors: dict[str, Any] = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
        point = msgspec.json.decode(tensors.pop("point"), type=Point)
    except Exception as error:
        raise ValueError(f"the checkpoint cannot be read ({error}): delete it, and train again") from error
    if point.fit != fit:
        raise ValueError(
            f"the checkpoint is of fit {point.fit}, this one is {fit}: other rows or other parameters; "
            "delete it, and train again"
        )
    return point, tensors
