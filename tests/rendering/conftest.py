"""Golden texts: what a reader sees, as files that a person has read."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "golden" / "rendering"


@pytest.fixture
def golden(request):
    """Compare a text with the file of that name; `--update` rewrites the file."""

    def compare(name: str, text: str) -> None:
        path = FOLDER / name
        if request.config.getoption("--update", default=False):
            path.write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare
