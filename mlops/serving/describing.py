"""What this server takes and gives, in the words of its own models: an OpenAPI 3.1 document, and a page for people.

Made when they are asked for, of the versions that are loaded then. The page needs nothing from anywhere else and runs no script.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from mlops.serving import signature_schemas
from mlops.serving.answers import Answer
from mlops.serving.exchanges import GET, Exchange, Route, Routes, Scope
from mlops.serving.models import Served
from mlops.serving.pages import page
from mlops.serving.protocols import encode

Schema = dict[str, Any]
_HEALTH = {
    "/v2/health/live": "Whether the process answers",
    "/v2/health/ready": "Whether new requests should come here",
    "/startupz": "Whether every model was loaded",
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFUSALS = {
    "400": "the request is wrong; `error` says where",
    "413": "the request is larger than this server takes",
    "415": "the body is no JSON in UTF-8",
    "500": "the model failed",
    "503": "the model is being loaded or has too much to do; ask again after `Retry-After` seconds",
}


class Describing:
    """Answers with the document and the page; `loaded` returns the versions of each model, the latest last."""

    def __init__(self, loaded: Callable[[], dict[str, list[Served]]]) -> None:
        """Keep what is asked."""
        self._loaded = loaded

    def routes(self) -> Routes:
        """Return the two paths."""
        return {"/openapi.json": Route(GET, self._document), "/docs": Route(GET, self._page)}

    async def _document(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, encode(document(self._loaded())))

    async def _page(self, _scope: Scope, _exchange: Exchange) -> Answer:
        safe = ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
        return Answer(200, page(self._loaded()).encode(), "text/html; charset=utf-8", (safe,))


def document(models: dict[str, list[Served]]) -> Schema:
    """Return the OpenAPI document of the loaded versions by the names of their models."""
    paths: Schema = {path: _get(words, {}) for path, words in _HEALTH.items()}
    schemas: Schema = {"Error": _ERROR}
    for name, versions in models.items():
        for served in versions:
            schemas |= _schemas(served)
            paths |= _version(f"/v2/models/{name}/versions/{served.version}", served)
        paths |= _version(f"/v2/models/{name}", versions[-1])
        paths[f"/v1/models/{name}:predict"] = _v1(versions[-1])
    only = next(iter(models.values())) if len(models) == 1 else None
    if only:
        paths["/invocations"] = _mlflow(only[-1])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Models: {', '.join(models) or 'none'}",
            "version": "1",
            "description": "Open Inference Protocol V2, KServe V1, MLflow.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schemas(served: Served) -> Schema:
    manifest = served.manifest
    return {
        _key(served, "Request"): signature_schemas.inference_request(manifest),
        _key(served, "Response"): signature_schemas.inference_response(manifest),
        _key(served, "Row"): signature_schemas.row(manifest.signature.inputs),
    }


def _version(path: str, served: Served) -> Schema:
    tag = [served.name]
    example = msgspec.json.decode(served.example)
    infer = _post(f"Ask {served.name}", _reference(served, "Request"), _reference(served, "Response"), example)
    return {
        path: _get(f"What {served.name} takes and gives", {"tags": tag}),
        f"{path}/ready": _get(f"Whether {served.name} is ready", {"tags": tag}),
        f"{path}/infer": {"post": infer | {"tags": tag}},
    }


def _v1(served: Served) -> Schema:
    rows = {"type": "array", "minItems": 1, "items": {"anyOf": [_reference(served, "Row"), {"type": "array"}]}}
    asked = {"type": "object", "properties": {"instances": rows}, "required": ["instances"]}
    return {"post": _post(f"Ask {served.name} by KServe's V1 protocol", asked, _PREDICTIONS) | {"tags": [served.name]}}


def _mlflow(served: Served) -> Schema:
    rows = {"type": "array", "minItems": 1, "items": _reference(served, "Row")}
    forms: Schema = {
        "dataframe_records": rows,
        "dataframe_split": {
            "type": "object",
            "properties": {"columns": {"type": "array"}, "data": {"type": "array"}},
            "required": ["data"],
        },
        "instances": {"type": "array"},
        "inputs": {"type": ["array", "object"]},
    }
    asked = {"oneOf": [{"type": "object", "properties": {form: schema}, "required": [form]} for form, schema in forms.items()]}
    return {"post": _post(f"Ask {served.name} by MLflow's scoring protocol", asked, _PREDICTIONS) | {"tags": [served.name]}}


_PREDICTIONS: Schema = {"type": "object", "properties": {"predictions": {}}, "required": ["predictions"]}


def _get(summary: str, more: Schema) -> Schema:
    return {"get": {"summary": summary, "responses": {"200": {"description": summary}}, **more}}


def _post(summary: str, asked: Schema, answered: Schema, example: Any = None) -> Schema:
    content: Schema = {"schema": asked} | ({"example": example} if example is not None else {})
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {"description": "the prediction", "content": {"application/json": {"schema": answered}}},
            **{code: {"description": words, "content": refused} for code, words in _REFUSALS.items()},
        },
    }


def _reference(served: Served, part: str) -> Schema:
    return {"$ref": f"#/components/schemas/{_key(served, part)}"}


def _key(served: Served, part: str) -> str:
    """Return the name of a component, which has fewer letters than the name of a model."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{served.name}.{served.version}.{part}")
