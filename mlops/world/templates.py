"""The door to templates: texts in `mlops/templates` whose places are filled in, in a sandbox that knows no value that was not given."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FOLDER = Path(__file__).parents[1] / "templates"
_SPECIAL = re.compile(r'([\\"$])')


class SandboxedTemplates:
    """Templates of Jinja2."""

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return the text of the template `name`; a value that it names and is not given is an error."""
        from jinja2 import StrictUndefined
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
        environment.filters |= {"quoted": quoted, "exec": exec_form}
        return environment.from_string((_FOLDER / name).read_text(encoding="utf-8")).render(values)


def quoted(value: str) -> str:
    """Return the value as a Dockerfile's word: nothing in it is a variable, an escape or the end of the line.

    Raises:
        Refused: it has a line break or another control character, which a Dockerfile cannot say.
    """
    if not value.isprintable():
        message = f"{value!r} cannot stand in a Dockerfile: it has a control character"
        raise Refused(message, "take it out")
    return '"' + _SPECIAL.sub(r"\\\1", value) + '"'


def exec_form(words: Sequence[str]) -> str:
    """Return an argument list as a Dockerfile starts it without a shell: a JSON array."""
    return json.dumps(list(words))
