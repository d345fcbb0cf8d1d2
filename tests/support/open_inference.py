"""Holds answers against the OpenAPI document that the Open Inference Protocol publishes; every test of the server asks through it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import jsonschema
import yaml

DOCUMENT = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "open_inference_rest.yaml"
_MODEL = r"/v2/models/[^/]+(/versions/[^/]+)?"
_ANSWERS = (
    ("GET", re.compile(r"/v2/?"), "metadata_server_response"),
    ("GET", re.compile(_MODEL), "metadata_model_response"),
    ("POST", re.compile(f"{_MODEL}/infer"), "inference_response"),
)
# It demands `error`, which the document's own inference_error_response forgets to do.
_ERROR = "metadata_model_error_response"
_REFUSED = 400


def check(method: str, path: str, status: int, content_type: str, answer: object) -> str | None:
    """Return the component against which an answer was held and was found to be right; None where the document knows none for it.

    Raises:
        jsonschema.ValidationError: it is not as the document says.
    """
    name = component(method, path, status)
    if name is None or content_type != "application/json" or not DOCUMENT.exists():
        return None
    _validator(name).validate(answer)
    return name


def component(method: str, path: str, status: int) -> str | None:
    """Return the name of the schema of an answer."""
    if status >= _REFUSED and path.startswith("/v2/models/") and not path.endswith("/ready"):
        return _ERROR
    return next((name for verb, pattern, name in _ANSWERS if verb == method and pattern.fullmatch(path)), None)


@functools.cache
def _validator(name: str) -> jsonschema.Draft4Validator:
    document = yaml.safe_load(DOCUMENT.read_text())
    return jsonschema.Draft4Validator({**document, "$ref": f"#/components/schemas/{name}"})
