"""One HTTP POST, and what its answer means for trying again."""

from __future__ import annotations

import datetime as dt
import email.utils
from typing import TYPE_CHECKING

import httpx

from mlops_assets.alerts.channels.protocol import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRY_AGAIN = {408, 425, 429}


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> None:
    """POST ``body`` as JSON; ``seconds`` bound the connection and each read.

    Raises ``DeliveryError``: final for 3xx and 4xx, except those that ask to try again. The address is
    not in its text, since it may hold a secret.
    """
    sent = {"Content-Type": "application/json", **headers}
    try:
        with httpx.stream("POST", url, content=body, headers=sent, timeout=seconds) as answer:
            if answer.is_success:
                return
            # Its first words will do: a body may be endless, and come in drops.
            said = next(answer.iter_text(200), "")[:200]
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise DeliveryError(f"the receiver did not answer: {type(error).__name__}") from error
    raise DeliveryError(
        f"{answer.url.host} answered {answer.status_code}: {said}",
        retry_after=retry_after(answer.headers.get("Retry-After")),
        final=answer.status_code < 500 and answer.status_code not in _TRY_AGAIN,
    )


def retry_after(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for: it holds them, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())
