"""Where a training keeps how far it is: one object in the lake for each fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.resources.lake import Lake


class LakeCheckpoints:
    """The checkpoint of one fit, under a key that says which: another pod finds it, too."""

    def __init__(self, lake: Lake, key: str) -> None:
        self._lake = lake
        self._key = key

    def load(self) -> bytes | None:
        """What was saved last; None if nothing was."""
        return self._lake.find(self._key)

    def save(self, state: bytes) -> None:
        """Replace what was saved: one PUT, whole or not at all."""
        self._lake.put(self._key, state)

    def clear(self) -> None:
        """Forget it: the fit is kept elsewhere now."""
        self._lake.delete(self._key)
