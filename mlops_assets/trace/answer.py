"""The rows of one request: asked of the endpoint, which also knows what is not shipped yet, or read in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from mlops_assets.platform.object_store import s3_client

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

TIMEOUT_SECONDS = 60
_NESTED = ("received", "used")


class TraceError(RuntimeError):
    """The trace cannot be followed; the message says where it ends, and the remedy."""


class Found(NamedTuple):
    """Rows of a request, and where they were found; no rows, and where they were looked for."""

    rows: list[dict[str, Any]]
    where: str


def find_answer(settings: Settings, project: Project, request_id: str) -> Found:
    """The request's rows. Raises ``TraceError`` if it cannot be known whether there are any."""
    url = f"{settings.endpoint_url(project.endpoint.port_offset, project.name)}/predictions/{request_id}"
    rows, said = _ask(settings, url)
    if rows:
        return Found(rows, url)
    log = f"s3://{settings.lake_bucket}/{project.name}/prediction_log/"
    rows = _read(settings, project, request_id)
    return Found(rows, log if rows else f"{url} ({said}) and {log}")


def _ask(settings: Settings, url: str) -> tuple[list[dict[str, Any]], str]:
    """The rows as the endpoint tells them, and what it said if there are none."""
    key = settings.endpoint_api_key
    headers = {"X-API-Key": key.get_secret_value()} if key else {}
    try:
        answer = httpx.get(url, headers=headers, timeout=TIMEOUT_SECONDS)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise TraceError(
                f"{url} answers 401. Set MLOPS_ENDPOINT_API_KEY to the key that the endpoint was started "
                "with."
            )
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return [], f"it does not answer: {error}"
    if not answer.is_success:
        return [], f"it answers {answer.status_code}: {body.get('error', body)}"
    return list(body["predictions"]), ""


def _read(settings: Settings, project: Project, request_id: str) -> list[dict[str, Any]]:
    """The rows as the log in S3 has them, in the shape in which the endpoint tells them."""
    from botocore.exceptions import BotoCoreError, ClientError

    from serving.prediction_log.reader import find

    try:
        found = find(s3_client(settings), settings.lake_bucket, project, request_id)
    except (BotoCoreError, ClientError) as error:
        raise TraceError(
            f"The object store at {settings.s3_url} cannot be read: {error}. Is it up (mlops status)?"
        ) from error
    return [_nested(row) for row in found]


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """``received.carrier`` -> ``received: {carrier}``; a time as ISO text."""
    told: dict[str, Any] = {name: {} for name in _NESTED}
    for column, value in row.items():
        outer, dot, name = column.partition(".")
        if dot and outer in _NESTED:
            told[outer][name] = value
        else:
            told[column] = value.isoformat() if hasattr(value, "isoformat") else value
    return told
