"""Real rows, few enough to fit on in a second."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mlops_assets.families.encoding import Vocabularies, make_examples
from mlops_assets_tests.projects.flight_delays.data import PROJECT, features

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.families import Examples


@lru_cache(maxsize=1)
def training() -> pd.DataFrame:
    """Every fourth row of February, oldest first."""
    return features("2013-02").iloc[::4].reset_index(drop=True)


@lru_cache(maxsize=1)
def encoded() -> tuple[Examples, Vocabularies]:
    return make_examples(PROJECT, training())
