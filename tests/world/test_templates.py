"""A Dockerfile says what it was given and nothing else."""

import jinja2
import pytest

from mlops.core.errors import Refused
from mlops.world.templates import SandboxedTemplates, exec_form, quoted


@pytest.mark.parametrize(
    ("value", "word"), [("plain", '"plain"'), ('$HOME "x" \\', '"\\$HOME \\"x\\" \\\\"'), ("`id`; rm #", '"`id`; rm #"')]
)
def test_nothing_in_a_value_is_a_variable_an_escape_or_an_end(value, word):
    assert quoted(value) == word


@pytest.mark.parametrize("value", ["line\nbreak", "nul\0", "bell\a"])
def test_a_value_that_a_dockerfile_cannot_say_is_refused(value):
    with pytest.raises(Refused, match="has a control character"):
        quoted(value)


def test_commands_are_arrays_and_no_shell_reads_them():
    assert exec_form(["python3", "-m", 'a "b" $c']) == '["python3", "-m", "a \\"b\\" $c"]'


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        SandboxedTemplates().render("Dockerfile", {})
