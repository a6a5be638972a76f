"""The model families that compete in flight_delays."""

from __future__ import annotations

from mlops_assets.families.boosting import Boosting
from mlops_assets.families.network import Network

FAMILIES = (Boosting(), Network())
