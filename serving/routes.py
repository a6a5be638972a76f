"""Everything but ``/predict``: health, info, metrics, look-ups, the OpenAPI document, the page for people."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from serving import reports
from serving.decoding import RequestError, error_body
from serving.fields import fields_of
from serving.openapi import document
from serving.prediction_log import lookup
from serving.prediction_log.view import log_health
from serving.request_id import SANE_ID

if TYPE_CHECKING:
    from starlette.requests import Request

    from mlops_assets.project import Project
    from serving.keys import Key
    from serving.link import Link
    from serving.metrics import Metrics
    from serving.prediction_log.view import LogFigures, LogView
    from serving.store import Store


class Routes:
    """The handlers of one endpoint. Only look-ups tell of a request's contents, and need the key."""

    def __init__(  # noqa: PLR0913 - the parts of a server, each once
        self, project: Project, link: Link, metrics: Metrics, store: Store, key: Key, log: LogView | None
    ) -> None:
        self._key = key
        self._log = log
        self._project = project
        self._link = link
        self._metrics = metrics
        self._store = store
        self._openapi = msgspec.json.encode(document(project, key_required=key.required))
        self._page = _fill("page.html", _page_facts(project, key=key.required, log=log is not None))
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
            Route(lookup.PATH + "{request_id}", self.prediction),
        ]

    async def page(self, _request: Request) -> Response:
        return HTMLResponse(self._page)

    async def docs(self, _request: Request) -> Response:
        return HTMLResponse(self._docs)

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    async def health(self, _request: Request) -> Response:
        figures = await self._figures()
        log = log_health(figures, self._link.log) if figures else None
        found = reports.health(self._project, self._link.status, self._store.registry, log)
        return _json(found, ready=found.version is not None and not (log and log.refusing))

    async def info(self, _request: Request) -> Response:
        model = self._link.status.model if self._link.status else None
        return _json(reports.info(self._project, model), ready=model is not None)

    async def metrics(self, _request: Request) -> Response:
        status = self._link.status
        trained = reports.trained_at(status.model if status else None)
        figures = await self._figures()
        if figures is not None:
            self._metrics.logged(figures, self._link.dropped_rows, refusing=self._link.log.refusing)
        text = self._metrics.page(status, self._store.registry, self._link.in_flight, trained)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _figures(self) -> LogFigures | None:
        return None if self._log is None else await asyncio.to_thread(self._log.figures)

    async def prediction(self, request: Request) -> Response:
        name = request.path_params["request_id"]
        try:
            self._key.check(request.headers.raw)
            status, body = await self._look_up(name, request.query_params.get("day"))
        except RequestError as error:
            status, body = error.status, error_body(str(error), name)
        headers = {"cache-control": "no-store"}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        return Response(body, status, headers, "application/json")

    async def _look_up(self, name: str, day: str | None) -> tuple[int, bytes]:
        if self._log is None:
            raise RequestError(404, "this endpoint keeps no prediction log (MLOPS_PREDICTION_LOG=off)")
        if not SANE_ID.fullmatch(name.encode()):
            raise RequestError(404, f"no request has the id {name!r}")
        if problem := lookup.bad_day(day):
            raise RequestError(422, problem)
        try:
            return await lookup.ask(self._log.lookup, name, day)
        except TimeoutError as error:
            late = f"not found in {lookup.SECONDS:g} s; narrow it with ?day=YYYY-MM-DD"
            raise RequestError(503, late) from error
        except OSError as error:
            raise RequestError(503, f"look-ups are not answered now, try again: {error}") from error


def _json(value: Any, *, ready: bool) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), 200 if ready else 503, headers, "application/json")


def _page_facts(project: Project, *, key: bool, log: bool) -> dict[str, Any]:
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
        "log": log,
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
