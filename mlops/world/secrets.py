"""The door to secrets: values by name, asked for inside a step and kept nowhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlops.core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "MLOPS_SECRET_"


def variable(name: str) -> str:
    """Return the environment variable that has the secret."""
    return PREFIX + name.upper().replace("-", "_")


def found(names: Iterable[str]) -> dict[str, str]:
    """Return those of the secrets that are set here, by their variables; an executor hands them to a step elsewhere."""
    return {variable(name): value for name in names if (value := os.environ.get(variable(name)))}


class EnvironmentSecrets:
    """Secrets in environment variables: `warehouse-url` is `MLOPS_SECRET_WAREHOUSE_URL`."""

    def value(self, name: str) -> str:
        """Return the secret `name`; raise Refused where it is not set or empty."""
        value = os.environ.get(variable(name))
        if not value:
            message = f"there is no secret '{name}'"
            raise Refused(message, f"set the environment variable {variable(name)} where the step runs")
        return value

    def hide(self, text: str) -> str:
        """Return the text with every secret value of this process's environment replaced by ***."""
        values = [value for name, value in os.environ.items() if name.startswith(PREFIX) and value]
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text
