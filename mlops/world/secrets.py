"""The door to secrets: values by name, asked for inside a step and kept nowhere."""

from __future__ import annotations

import os

from mlops.core.errors import Refused

PREFIX = "MLOPS_SECRET_"


class EnvironmentSecrets:
    """Secrets in environment variables: `warehouse-url` is `MLOPS_SECRET_WAREHOUSE_URL`."""

    def value(self, name: str) -> str:
        """Return the secret `name`; raise Refused where it is not set or empty."""
        variable = PREFIX + name.upper().replace("-", "_")
        value = os.environ.get(variable)
        if not value:
            message = f"there is no secret '{name}'"
            raise Refused(message, f"set the environment variable {variable} where the step runs")
        return value

    def hide(self, text: str) -> str:
        """Return the text with every secret value of this process's environment replaced by ***."""
        values = [value for name, value in os.environ.items() if name.startswith(PREFIX) and value]
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text
