"""The pages about asking and about policies are true: each is one project, whose commands are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops.world import rego

import consoles
import opa

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["how-to-why.md", "how-to-policies.md"])
def test_every_command_of_the_page_prints_what_it_shows(page, tmp_path):
    text = (DOCS / page).read_text()
    consoles.lay_out(text, tmp_path)
    console = consoles.Console(tmp_path, {})
    for block in consoles.blocks(text):
        if block.language == "console":
            console.run(block)
    assert console.count >= 3


def test_the_rego_of_the_page_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv(rego.PROGRAM, opa.program())
    text = re.search(r"```rego\n(.*?)```", (DOCS / "how-to-policies.md").read_text(), re.DOTALL)[1]
    (tmp_path / "p.rego").write_text(text)
    plan = '{"environment": "prod", "changes": [{"address": "model.a", "action": "-", "seconds": 4000}]}'
    assert rego.evaluate(tmp_path, "p.rego", plan) == {
        "deny": [{"address": "model.a", "message": "nothing is deleted in prod"}],
        "warn": ["this takes more than an hour"],
    }
