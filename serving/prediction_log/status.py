"""What the log's parts say of themselves."""

from __future__ import annotations

import msgspec


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the model's process tells the API process. ``problem``: why the policy is at work, None if not.

    ``refusing``: so that answers are withheld. ``dropped_rows``: since the last time it was told.
    """

    problem: str | None = None
    refusing: bool = False
    dropped_rows: int = 0


class ShipperNote(msgspec.Struct, frozen=True, kw_only=True):
    """The shipper's last word. Times are seconds since 1970.

    ``error``: why something could not be shipped, None if all of it was. ``shipped_rows``: by all shippers
    of this spool, since its beginning.
    """

    at: float
    error: str | None = None
    shipped_rows: int = 0
