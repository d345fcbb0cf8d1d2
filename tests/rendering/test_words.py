"""Values, numbers, durations and counts as people write them."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops.rendering import graphs, words
from mlops.rendering.looks import Look, cells, clean, shorten, table


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (97200, "1 d 3 h"),
    ],
)
def test_a_duration_has_at_most_two_parts(amount, text):
    assert words.seconds(amount) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", "abc"),
        ("dataset.credit/train", "dataset.credit/train"),
        ("two words", "two words"),
        ("", '""'),
        ("yes", '"yes"'),
        ("6", '"6"'),
        (" a", '" a"'),
        (6, "6"),
        (True, "true"),
        (None, "null"),
        ([1, "a", None], "[1, a, null]"),
        ({"metric": "roc_auc", "min": 0.78}, "{metric: roc_auc, min: 0.78}"),
        ("sha256:" + "1234567890" * 6 + "abcd", "12345678"),
        ("naïve", "naïve"),
    ],
)
def test_a_value_reads_as_yaml(value, text):
    assert words.value(value) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.characters(exclude_categories=["C"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3),
)


@given(json_values)
def test_yaml_reads_a_shown_value_back_as_it_was(value):
    assert yaml.safe_load(f"[{words.value(value)}]") == [value]


@pytest.mark.parametrize(
    ("number", "text"),
    [(4454, "4,454"), (0.712345, "0.7123"), (12345.678, "12,345.7"), (True, "true"), ("a", "a"), (1e-9, "1e-09")],
)
def test_a_number_is_short(number, text):
    assert words.number(number) == text


@pytest.mark.parametrize(("count", "text"), [(812, "812 B"), (1200, "1.2 kB"), (3_400_000, "3.4 MB"), (5.6e12, "5.6 TB")])
def test_a_size_has_a_unit(count, text):
    assert words.size(count) == text


@pytest.mark.parametrize(("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_a_list_is_a_sentence(items, text):
    assert words.listed(items) == text


def test_columns_are_aligned_by_what_a_terminal_shows():
    look = Look(colour=True)
    lines = table([[look.paint("ab", "good"), "1"], ["日本", "2"], ["abcdef", "3"]])
    assert [cells(line) for line in lines] == [9, 9, 9]


@given(st.text(), st.integers(2, 50))
def test_shortened_text_fits(text, width):
    assert cells(shorten(text, width)) <= width


@given(st.text())
def test_clean_text_cannot_move_the_cursor(text):
    assert not any(ord(one) < 32 and one not in "\n\t" for one in clean(text))


def test_a_tree_shows_what_is_needed_twice_once():
    needs = {"test.a": ["model.a", "dataset.a"], "model.a": ["dataset.a"], "dataset.a": ["dataset.raw"], "dataset.raw": []}
    assert graphs.tree(needs, {}).splitlines() == [
        "test.a",
        "├─ dataset.a",
        "│  └─ dataset.raw",
        "└─ model.a",
        "   └─ dataset.a …",
    ]


def test_a_chain_longer_than_pythons_stack_is_drawn():
    needs = {f"model.m{index}": [f"model.m{index + 1}"] for index in range(3000)}
    assert len(graphs.tree(needs, {}).splitlines()) == 3001
