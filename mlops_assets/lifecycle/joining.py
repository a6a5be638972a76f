"""Predictions and the labels that came later, joined on what the prediction was about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from serving.fields import fields_of

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.project import Project

_DTYPES: dict[str, Any] = {"int": "Int64", "float": "float64", "bool": "boolean", "str": "object"}
LABEL, EVENT_TIME = "label", "event_time"
LOGGED = ("request_id", "row", "time", "version", "probability")
"""What an outcome has of its prediction."""


def entity(project: Project) -> tuple[str, ...]:
    """The fields that say which thing a prediction is about."""
    return project.features.entity or project.features.instance_fields


class Labels:
    """The labels of one partition by entity.

    ``ambiguous``: rows of features whose entity another row has, too; they label nothing, since nobody
    can say which was meant. ``unlabelled``: rows without a label.
    """

    def __init__(self, project: Project, features: pd.DataFrame) -> None:
        declared = project.features
        self._project = project
        self._kinds = {f.name: f.kind for f in fields_of(declared.instance)}
        self._keys = list(entity(project))
        table = self._typed({name: features[name] for name in self._keys})
        table[LABEL] = features[declared.label].to_numpy()
        for name in declared.slices:
            if name not in self._keys:
                table[name] = features[name].to_numpy()
        if declared.event_time is not None:
            table[EVENT_TIME] = features[declared.event_time].astype(str).to_numpy()
        twice = table.duplicated(self._keys, keep=False)
        missing = table[LABEL].isna()
        self.ambiguous, self.unlabelled = int(twice.sum()), int((missing & ~twice).sum())
        self._table = table[~twice & ~missing].assign(**{LABEL: lambda t: t[LABEL].astype(np.int8)})
        self._twice = table.loc[twice, self._keys].drop_duplicates()

    @property
    def rows(self) -> int:
        """Labels that may be joined."""
        return len(self._table)

    @property
    def received(self) -> list[str]:
        """The columns of the log that the join goes by."""
        return [f"received.{name}" for name in self._keys]

    def join(self, logged: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``logged`` (``LOGGED`` and ``received``) that have a label, in their order."""
        keys = self._keys_of(logged)
        found = logged[list(LOGGED)].reset_index(drop=True).join(keys).merge(self._table, "inner", self._keys)
        if EVENT_TIME not in found:
            found[EVENT_TIME] = found["time"].dt.strftime("%Y-%m-%dT%H:%M:%S")
        slices = list(self._project.features.slices)
        return found[[*LOGGED, EVENT_TIME, LABEL, *slices]]

    def ambiguous_among(self, logged: pd.DataFrame) -> int:
        """How many rows of ``logged`` are about an entity that is ambiguous."""
        return len(self._keys_of(logged).merge(self._twice, "inner", self._keys))

    def _keys_of(self, logged: pd.DataFrame) -> pd.DataFrame:
        return self._typed({name: logged[f"received.{name}"] for name in self._keys})

    def _typed(self, columns: dict[str, Any]) -> pd.DataFrame:
        """Keys of features and keys of the log in the same types, so that equal ones meet."""
        import pandas as pd

        return pd.DataFrame(
            {
                name: pd.Series(np.asarray(values, dtype=object)).astype(_DTYPES[self._kinds[name]])
                for name, values in columns.items()
            }
        )
