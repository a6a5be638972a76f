"""The OpenAPI document of an endpoint: its real request, answers and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from serving.bounds import MAX_BODY, MAX_ROWS

if TYPE_CHECKING:
    from mlops_assets.project import Project

_REF = "#/components/schemas/{name}"
_ERRORS = {
    "400": "The body is not JSON.",
    "401": "The API key is missing or wrong (only where the server has one).",
    "413": f"The body is larger than {MAX_BODY:,} bytes.",
    "422": f"JSON that does not fit: an unknown or missing field, a wrong type, not a number, "
    f"no rows, or more than {MAX_ROWS:,}. `row` (from 0) and `field` say where.",
    "500": "The model failed on these rows.",
    "503": "No model is loaded yet, its process does not answer, too many requests wait, or the prediction "
    "log is full.",
}


def document(project: Project, *, key_required: bool) -> dict[str, Any]:
    """OpenAPI 3.1 of the endpoint of ``project``; ``key_required``: whether /predict asks for a key."""
    schemas = _schemas(project)
    predict: dict[str, Any] = {
        "summary": project.title,
        "description": project.description,
        "operationId": "predict",
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "required": False,
                "description": "Comes back in the answer; one is made if it is missing.",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,32}$"},
            }
        ],
        "requestBody": {"required": True, "content": _json("Request", _example(project))},
        "responses": {
            "200": {"description": "One prediction for each row, in order.", "content": _json("Answer")},
            **{code: {"description": says, "content": _json("Error")} for code, says in _ERRORS.items()},
        },
    }
    look_up = _look_up()
    if key_required:
        predict["security"] = look_up["security"] = [{"ApiKey": []}, {"Bearer": []}]
    return {
        "openapi": "3.1.0",
        "info": {"title": project.title, "description": project.description, "version": "1"},
        "paths": {
            "/predict": {"post": predict},
            "/predictions/{request_id}": {"get": look_up},
            "/health": {
                "get": _get("Ready when a model is loaded and answers can be logged", "Health", "503")
            },
            "/info": {"get": _get("The model in use: version, training set, when loaded", "Info", "503")},
            "/metrics": {
                "get": {
                    "summary": "Metrics for Prometheus",
                    "responses": {
                        "200": {"description": "Text exposition format", "content": {"text/plain": {}}}
                    },
                }
            },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _schemas(project: Project) -> dict[str, Any]:
    from serving.reports import Health, Info  # the app's own answers

    instance = project.features.instance
    found, components = msgspec.json.schema_components([instance, Health, Info], ref_template=_REF)
    del found
    schemas: dict[str, Any] = dict(components)
    row = schemas[instance.__name__]
    row["additionalProperties"] = False
    for name, choices in project.endpoint.choices.items():
        if name in row["properties"]:
            row["properties"][name]["examples"] = list(choices)[:20]
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    schemas["Request"] = {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_ROWS,
                "items": {"$ref": _REF.format(name=instance.__name__)},
            }
        },
    }
    schemas["Prediction"] = {
        "type": "object",
        "required": [project.endpoint.positive, "probability"],
        "properties": {
            project.endpoint.positive: {"type": "boolean", "description": "From the model's threshold on."},
            "probability": probability,
            "unknown": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Categories that the model has never seen; only where there are some.",
            },
        },
    }
    schemas["Answer"] = {
        "type": "object",
        "required": ["predictions", "model", "request_id"],
        "properties": {
            "predictions": {"type": "array", "items": {"$ref": _REF.format(name="Prediction")}},
            "model": {
                "type": "object",
                "required": ["project", "version"],
                "properties": {
                    "project": {"type": "string", "const": project.name},
                    "version": {
                        "type": "string",
                        "description": "The registry's version that answered all rows.",
                    },
                },
            },
            "request_id": {"type": "string"},
        },
    }
    logged = {
        "row": {"type": "integer", "description": "Its place in the request, from 0."},
        "time": {"type": "string", "format": "date-time", "description": "When the request arrived, UTC."},
        "version": {"type": "string"},
        "training_set": {"type": "string"},
        "received": {"type": "object", "description": "The fields of the instance."},
        "used": {
            "type": "object",
            "description": "The columns that the model was given; null: not known to it, or missing.",
        },
        "probability": probability,
        "label": {
            "type": "boolean",
            "description": f"Whether it was answered as {project.endpoint.positive}.",
        },
        "unknown": {"type": "array", "items": {"type": "string"}},
        "latency_seconds": {"type": "number", "description": "From arrival to being logged."},
        "answer_id": {"type": "string", "description": "Tells requests apart that carry the same id."},
    }
    schemas["Logged"] = {"type": "object", "required": [*logged], "properties": logged}
    schemas["LoggedRequest"] = {
        "type": "object",
        "required": ["request_id", "predictions"],
        "properties": {
            "request_id": {"type": "string"},
            "predictions": {"type": "array", "items": {"$ref": _REF.format(name="Logged")}},
        },
    }
    schemas["Error"] = {
        "type": "object",
        "required": ["error", "request_id"],
        "properties": {
            "error": {"type": "string"},
            "row": {"type": "integer", "minimum": 0, "description": "From 0; where a row is at fault."},
            "field": {"type": "string"},
            "request_id": {"type": "string"},
        },
    }
    return schemas


def _json(schema: str, example: Any = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(name=schema)}}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def _example(project: Project) -> dict[str, Any] | None:
    return {"instances": [dict(project.endpoint.example)]} if project.endpoint.example else None


def _look_up() -> dict[str, Any]:
    """``GET /predictions/{request_id}``."""
    errors = {
        "401": "The API key is missing or wrong (only where the server has one).",
        "404": "No such request is in the prediction log.",
        "422": "`day` is no date.",
        "503": "The log cannot be read now.",
    }
    return {
        "summary": "What was logged of a request: features as received and as used, score, model version",
        "operationId": "logged",
        "parameters": [
            {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}},
            {
                "name": "day",
                "in": "query",
                "required": False,
                "description": "The day of the request (UTC): for an old one whose id was the client's own.",
                "schema": {"type": "string", "format": "date"},
            },
        ],
        "responses": {
            "200": {"description": "Its rows, in order.", "content": _json("LoggedRequest")},
            **{code: {"description": says, "content": _json("Error")} for code, says in errors.items()},
        },
    }


def _get(summary: str, schema: str, not_ready: str) -> dict[str, Any]:
    content = _json(schema)
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "A model is loaded.", "content": content},
            not_ready: {"description": "No model is loaded.", "content": content},
        },
    }
