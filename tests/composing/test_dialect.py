"""Files are read in OmegaConf's dialect of YAML."""

from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

from mlops.composing.documents import DocumentError, Reader, places

# What OmegaConf 2.3 documents of its own dialect, and what it keeps of YAML 1.1; written by hand.
CASES = [
    ("1e-3", 0.001),
    ("1.5E+3", 1500.0),
    (".5e3", ".5e3"),  # a sign is needed after a leading point
    (".5e+3", 500.0),
    ("1_000", 1000),
    ("0x1f", 31),
    ("017", 15),
    ("0o17", "0o17"),
    ("0b101", 5),
    ("1:30", 90),
    ("1:30.5", 90.5),
    ("2020-01-01", "2020-01-01"),
    ("2020-01-01T10:00:00Z", "2020-01-01T10:00:00Z"),
    ("yes", True),
    ("Off", False),
    ("y", "y"),
    ("~", None),
    ("", None),
    ("'1'", "1"),
    ("-.inf", -math.inf),
    ("1.2.3", "1.2.3"),
    ("!!str 1", "1"),
    ("!!float 1", 1.0),
    ("{a: 1, 2: b, true: c}", {"a": 1, 2: "b", True: "c"}),
    ("[1, [2]]", [1, [2]]),
]


@pytest.mark.parametrize(("text", "value"), CASES)
def test_a_value_is_read_as_omegaconf_reads_it(text, value):
    """Each value equals the one written here, and OmegaConf's own."""
    document = f"a: {text}\n"
    assert Reader("f.yaml").read(document) == {"a": value}
    assert OmegaConf.to_container(OmegaConf.create(document)) == {"a": value}


def test_merge_keys_and_anchors_work():
    """`<<` brings the anchor's fields in; own fields win."""
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n"
    assert Reader("f.yaml").read(text) == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "'a' is written twice"),
        ("a: {b: 1, b: 2}\n", 1, 11, "'b' is written twice"),
        ("a: [1\nb: 2\n", 2, 2, "a bracket is not closed"),
        ("a: b: c\n", 1, 5, "': ' stands where no key can be"),
        ("a:\n\tb: 1\n", 2, 1, "a tab stands where"),
        ("a: !!set {b}\n", 1, 4, "the tag !!set is not known"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, 4, "is not known"),
        ("a: &x [*x]\n", 1, 1, "nested too deeply"),
        ("? [a]\n: b\n", 1, 3, "a key must be plain text"),
        ("a: 1\n---\nb: 1\n", 2, 1, "a second document begins"),
        ("a: !!int x\n", 1, 4, "'x' does not fit the tag"),
        ("a: !!bool x\n", 1, 4, "'x' does not fit the tag"),
        ("a: *nope\n", 1, 4, "the alias has no anchor"),
    ],
)
def test_a_broken_document_says_where_and_what(text, line, column, words):
    """The diagnostic of a syntax error has the line, the column and the reason."""
    with pytest.raises(DocumentError) as caught:
        Reader("conf/things/a.yaml").read(text)
    diagnostic = caught.value.diagnostic
    assert (diagnostic.origin.line, diagnostic.origin.column) == (line, column)
    assert words in diagnostic.summary


def test_a_document_that_is_nested_very_deeply_is_refused():
    """A hundred thousand brackets are a diagnostic and no crash."""
    with pytest.raises(DocumentError):
        Reader("f.yaml").read("a: " + "[" * 100_000)


def test_booleans_of_yaml_1_1_among_values_get_a_proposal():
    """`yes` and `on` in a list named `values` are told to be booleans, with their place; true and quoted ones are not."""
    reader = Reader("f.yaml")
    reader.read("columns:\n  a: {values: [yes, 'no', true, Off]}\n")
    assert [(str(it.origin), it.summary) for it in reader.diagnostics] == [
        ("f.yaml:2:16", "YAML reads yes as the boolean true, not as text"),
        ("f.yaml:2:33", "YAML reads Off as the boolean false, not as text"),
    ]
    assert reader.diagnostics[0].hint == 'write "yes" with quotes for the text, or true for the boolean'


def test_every_value_has_a_place():
    """A field stands at its key, an item of a list at itself."""
    found = places("a:\n  b: 1\nc:\n- x\n- {d: 2}\n")
    assert {path: spot[:2] for path, spot in found.items()} == {
        "": (1, 1),
        "a": (1, 1),
        "a.b": (2, 3),
        "c": (3, 1),
        "c.0": (4, 3),
        "c.1": (5, 3),
        "c.1.d": (5, 4),
    }
