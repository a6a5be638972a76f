"""Everything but ``/predict``: health, info, metrics, the OpenAPI document and the page for people."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from serving import reports
from serving.fields import fields_of
from serving.openapi import document

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlops_assets.project import Project
    from serving.link import Link
    from serving.metrics import Metrics
    from serving.store import Store


class Routes:
    """The handlers of one endpoint; none of them needs a key, none tells of a request's contents."""

    def __init__(self, project: Project, link: Link, metrics: Metrics, store: Store, *, key: bool) -> None:
        self._project = project
        self._link = link
        self._metrics = metrics
        self._store = store
        self._openapi = msgspec.json.encode(document(project, key_required=key))
        self._page = _fill("page.html", _page_facts(project, key=key))
        self._docs = _fill("docs.html", {"title": project.title})

    def routes(self) -> list[Route]:
        """The routes, to be put before LitServe's own of the same path."""
        return [
            Route("/", self.page),
            Route("/health", self.health),
            Route("/info", self.info),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
            Route("/docs", self.docs),
        ]

    async def page(self, _request: Request) -> Response:
        return HTMLResponse(self._page)

    async def docs(self, _request: Request) -> Response:
        return HTMLResponse(self._docs)

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    async def health(self, _request: Request) -> Response:
        found = reports.health(self._project, self._link.status, self._store.registry)
        return _json(found, ready=found.version is not None)

    async def info(self, _request: Request) -> Response:
        model = self._link.status.model if self._link.status else None
        return _json(reports.info(self._project, model), ready=model is not None)

    async def metrics(self, _request: Request) -> Response:
        status = self._link.status
        trained = reports.trained_at(status.model if status else None)
        text = self._metrics.page(status, self._store.registry, self._link.in_flight, trained)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _json(value: Any, *, ready: bool) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), 200 if ready else 503, headers, "application/json")


def _page_facts(project: Project, *, key: bool) -> dict[str, Any]:
    """What the page's script needs to draw the form."""
    endpoint = project.endpoint
    instance = project.features.instance
    _, schemas = msgspec.json.schema_components([instance])
    properties = schemas[instance.__name__]["properties"]
    fields = [
        {
            "name": field.name,
            "kind": field.kind,
            "optional": field.optional or not field.required,
            "nullable": field.optional,
            "choices": list(endpoint.choices.get(field.name, ())),
            "example": endpoint.example.get(field.name),
            **_limits(properties[field.name]),
        }
        for field in fields_of(instance)
    ]
    return {
        "project": project.name,
        "title": project.title,
        "description": project.description,
        "positive": endpoint.positive,
        "key": key,
        "fields": fields,
    }


def _limits(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's own words and limits, from its JSON schema."""
    plain = next((option for option in schema.get("anyOf", ()) if option.get("type") != "null"), schema)
    return {
        "description": plain.get("description") or schema.get("description") or "",
        "minimum": plain.get("minimum"),
        "maximum": plain.get("maximum"),
    }


def _fill(template: str, facts: dict[str, Any]) -> str:
    """The template with ``facts`` as JSON that cannot end the script element it stands in."""
    text = msgspec.json.encode(facts).decode().replace("<", "\\u003c").replace("&", "\\u0026")
    return files("serving").joinpath(template).read_text(encoding="utf-8").replace("__FACTS__", text)
