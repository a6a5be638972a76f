"""``mlops predict``: one question to a project's endpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings


class AskError(RuntimeError):
    """There is no prediction; the message says why, and the remedy."""


def request_body(text: str) -> dict[str, Any]:
    """The request that ``text`` asks for: one instance, a list, ``{"instances": [...]}``, @FILE or -.

    Raises ``AskError`` when it is no JSON of these shapes.
    """
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        file = Path(text[1:])
        if not file.is_file():
            raise AskError(f"There is no file {file}.")
        text = file.read_text(encoding="utf-8")
    try:
        given = json.loads(text)
    except ValueError as error:
        raise AskError(f"This is not JSON: {error}. Give it in quotes, or @FILE, or - for stdin.") from error
    if isinstance(given, dict):
        return given if "instances" in given else {"instances": [given]}
    if isinstance(given, list):
        return {"instances": given}
    raise AskError(f"An instance is a JSON object with the request's fields, not {text.strip()[:40]}.")


def predict(settings: Settings, project: Project, text: str) -> dict[str, Any]:
    """The endpoint's answer to ``text`` (see ``request_body``); ``AskError`` when there is none."""
    import httpx

    body = request_body(text)
    url = settings.endpoint_url(project.endpoint.port_offset, project.name)
    key = settings.endpoint_api_key
    headers = {"X-API-Key": key.get_secret_value()} if key else {}
    try:
        answer = httpx.post(f"{url}/predict", json=body, headers=headers, timeout=30)
    except httpx.HTTPError as error:
        raise AskError(
            f"{url} does not answer ({error}). Is it up (mlops status endpoint)? What does it say "
            f"(mlops logs endpoint-{project.name})?"
        ) from error
    if answer.is_error:
        raise AskError(f"{url} answers {answer.status_code}: {_reason(answer)}{_remedy(answer.status_code)}")
    return dict(answer.json())


def _reason(answer: Any) -> str:
    try:
        body = answer.json()
    except ValueError:
        return str(answer.text)[:500]
    return (
        body.get("error") or body.get("detail") or json.dumps(body) if isinstance(body, dict) else str(body)
    )


def _remedy(status: int) -> str:
    if status == 401:
        return " Set MLOPS_ENDPOINT_API_KEY to the key that the endpoint was started with."
    if status == 503:
        return " There is no champion until data was uploaded and a candidate passed the gate."
    return ""
