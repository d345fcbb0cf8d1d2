"""What is wrong with a dataset before its data is read; what a change of a field means."""

import pytest
from pydantic import ValidationError

from mlops.core.addresses import Address
from mlops.core.ops import bind
from mlops.core.specs import SECRET, body, marked
from mlops.kinds.dataset import Dataset
from mlops.kinds.dataset.reading import Read

KIND = Dataset()
FILE = {"path": "a.csv"}
SQL = {"query": "select 1", "url": "sqlite:///a.db"}


def _spec(**spec):
    return KIND.Spec.model_validate({"source": FILE, **spec})


def _diagnostics(**spec):
    return [(found.path, found.summary) for found in KIND.check(_spec(**spec), None, None)]


def _template(**spec):
    [template] = KIND.steps(_spec(**spec), Address("dataset.a"))
    return template


@pytest.mark.parametrize(
    ("spec", "path", "summary"),
    [
        ({"source": {}}, "source", "source says nothing: it takes one of path, query and bundled"),
        (
            {"source": {**FILE, "bundled": "iris"}},
            "source",
            "source has path and bundled: it takes one of path, query and bundled",
        ),
        ({"source": {**FILE, "url": "x"}}, "source.url", "'url' goes with query, not with path"),
        ({"source": {**FILE, "secret": "x"}}, "source.secret", "'secret' goes with query, not with path"),
        ({"source": {**SQL, "format": "csv"}}, "source.format", "'format' goes with path, not with query"),
        ({"source": {"bundled": "iris", "version": "select 1"}}, "source.version", "'version' goes with query, not with bundled"),
        ({"source": {"query": "select 1"}}, "source", "a query needs the url of its database"),
        (
            {"source": {"query": "select 1", "url": "postgresql://a:b@c/d"}},
            "source.url",
            "a password stands in the configuration",
        ),
        ({"source": {"path": "ftp://a:b@c/d.csv"}}, "source.path", "a password stands in the configuration"),
        ({"source": SQL, "sha256": "0" * 64}, "sha256", "only files have a sha256"),
        ({"columns": {"a": {"type": "bool", "min": 1}}}, "columns.a.min", "a column of type bool has no min"),
        ({"columns": {"a": {"type": "int", "min": "x"}}}, "columns.a.min", "min of a column of type int is 'x'"),
        (
            {"columns": {"a": {"type": "datetime", "max": "31.1.2024"}}},
            "columns.a.max",
            "max of a column of type datetime is '31.1.2024'",
        ),
        ({"columns": {"a": {"type": "int", "min": 3, "max": 2}}}, "columns.a.min", "min 3 is larger than max 2"),
        ({"columns": {"a": {"type": "bool", "values": [1]}}}, "columns.a.values", "a column of type bool has no values"),
        ({"columns": {"a": {"type": "int", "values": [1, "x"]}}}, "columns.a.values", "'x' is no int"),
        ({"columns": {"a": {"type": "int", "values": [1.5]}}}, "columns.a.values", "1.5 is no int"),
        ({"columns": {"a": {"type": "category", "values": [1, "1"]}}}, "columns.a.values", "'1' stands twice"),
        ({"columns": {"a": {"type": "int", "pattern": "x"}}}, "columns.a.pattern", "a column of type int has no pattern"),
        (
            {"columns": {"a": {"type": "string", "pattern": "("}}},
            "columns.a.pattern",
            "no regular expression: missing ), unterminated subpattern at position 0",
        ),
        ({"columns": {"a": {"type": "int", "format": "%Y"}}}, "columns.a.format", "a column of type int has no format"),
        ({"columns": {"id": {"type": "int"}}, "key": "di"}, "key", "no column 'di' in columns"),
        (
            {"columns": {"a": {"type": "int"}}, "split": {"test": 0.2, "stratify": "b"}},
            "split.stratify",
            "no column 'b' in columns",
        ),
        ({"columns": {"a": {"type": "int"}}, "split": {"test": 0.2, "group": "b"}}, "split.group", "no column 'b' in columns"),
        ({"columns": {"a": {"type": "int"}}, "split": {"test": 1, "by": "b"}}, "split.by", "no column 'b' in columns"),
        (
            {"columns": {"a": {"type": "bool"}}, "split": {"test": 1, "by": "a"}},
            "split.by",
            "'a' has type bool, which has no order in time",
        ),
        (
            {"columns": {"a": {"type": "datetime"}}, "split": {"test": 1, "by": "a"}},
            "split.test",
            "1 is no cut-off for column 'a' of type datetime",
        ),
        ({"split": {"test": 0}}, "split.test", "0 is no fraction between 0 and 1"),
        ({"split": {"test": 1.0}}, "split.test", "1.0 is no fraction between 0 and 1"),
        ({"split": {"test": "0.2"}}, "split.test", "'0.2' is no fraction"),
        ({"split": {"test": 0.5, "validation": 0.5}}, "split", "test and validation leave nothing for train"),
        ({"split": {"test": 0.2, "stratify": "a", "group": "b"}}, "split.group", "'group' does not go with 'stratify'"),
        ({"split": {"test": 1, "by": "a", "stratify": "b"}}, "split.stratify", "'stratify' does not go with 'by'"),
        ({"split": {"test": 1, "by": "a", "group": "b"}}, "split.group", "'group' does not go with 'by'"),
        (
            {"split": {"by": "a", "test": "2024-01-01", "validation": "2024-02-01"}},
            "split.validation",
            "validation begins no earlier than test",
        ),
    ],
)
def test_each_wrong_thing_has_one_diagnostic_at_its_field(spec, path, summary):
    assert _diagnostics(**spec) == [(path, summary)]


def test_every_diagnostic_says_what_to_do():
    for spec in ({"source": {}}, {"columns": {"a": {"type": "bool", "min": 1, "values": [1]}}}, {"split": {"test": 0}}):
        assert all(found.hint for found in KIND.check(_spec(**spec), None, None))


@pytest.mark.parametrize(
    "spec",
    [
        {"columns": {"a": {"type": "category", "values": [True]}}},
        {"columns": {"a": {"type": "number"}}},
        {"columns": {}},
        {"source": {"bundled": "boston"}},
        {"sha256": "abc"},
        {"split": {"seed": 1}},
        {"extra_columns": "ignore"},
        {"colums": {}},
    ],
)
def test_wrong_shapes_are_refused(spec):
    with pytest.raises(ValidationError):
        _spec(**spec)


def test_a_right_dataset_has_no_diagnostics():
    columns = {
        "id": {"type": "string", "pattern": "[a-z]+", "unique": True},
        "age": {"type": "int", "min": 18, "max": 120, "values": [18, 20]},
        "day": {"type": "datetime", "min": "2024-01-01", "max": "2024-12-31T10:00:00Z", "format": "%d.%m.%Y"},
    }
    assert _diagnostics(columns=columns, key="id", split={"test": 0.2, "validation": 0.1, "stratify": "age", "seed": 7}) == []
    assert _diagnostics(columns=columns, extra_columns="keep", key="other") == []


def test_outputs_are_the_table_and_its_splits():
    assert KIND.outputs(_spec()) == ("table",)
    assert KIND.outputs(_spec(split={"test": 0.2})) == ("table", "train", "test")
    assert _template(split={"test": 0.2, "validation": 0.1}).outputs == ("table", "train", "test", "validation")


def test_descriptions_change_no_step_and_the_order_of_columns_does():
    one, two = {"type": "int"}, {"type": "float"}
    plain = _template(columns={"a": one, "b": two}, missing=["", "NA"])
    assert _template(columns={"a": one, "b": two}, missing=["NA", ""]) == plain
    assert _template(columns={"b": two, "a": one}, missing=["", "NA"]) != plain
    assert _template(columns={"a": {**one, "description": "x"}, "b": two}, missing=["", "NA"], description="y") == plain
    assert _template(columns={"a": two, "b": two}, missing=["", "NA"]) != plain


@pytest.mark.parametrize(
    "spec",
    [
        {"source": {"path": "b.csv"}},
        {"key": "a"},
        {"missing": []},
        {"split": {"test": 0.2}},
        {"sha256": "0" * 64},
        {"columns": {"a": {"type": "category", "values": ["x", "y"]}}},
        {"columns": {"a": {"type": "category", "values": ["y", "x"]}}},
    ],
)
def test_what_changes_the_data_changes_the_step(spec):
    assert _template(**spec).digest != _template().digest


def test_a_secret_is_marked_and_a_name_only():
    assert "source.secret" in marked(KIND.Spec, SECRET)
    assert body(_spec(source={**SQL, "secret": "warehouse"}))["source"]["secret"] == "warehouse"  # noqa: S105 - a name


def test_planning_observes_the_source_and_the_packages_that_read_it():
    inputs = KIND.inputs(_spec(source={"path": "a.txt", "format": "csv"}))
    assert (inputs["source"].door, inputs["source"].arguments["path"], inputs["source"].field) == ("file", "a.txt", "source.path")
    assert inputs["runtime"].door == "packages"
    assert KIND.inputs(_spec(source={"bundled": "iris"}))["source"].arguments == {"name": "iris"}
    assert sorted(_template().reads) == ["input:runtime", "input:source"]


def test_a_query_without_a_version_stays_as_first_read_even_with_new_packages():
    assert list(KIND.inputs(_spec(source=SQL))) == ["source"]
    assert _template(source=SQL).reads == ("input:source",)
    versioned = {**SQL, "version": "select 2"}
    assert list(KIND.inputs(_spec(source=versioned))) == ["source", "runtime"]


def test_a_step_survives_json():
    template = _template(columns={"a": {"type": "int", "min": 1}}, split={"test": 0.2}, sha256="0" * 64)
    op = Read.model_validate(bind(dict(template.op), {"input:source": {"a.csv": "sha256:1"}, "input:runtime": {}}))
    assert Read.model_validate(op.model_dump(mode="json")) == op
    assert (op.found, op.sha256) == ({"a.csv": "sha256:1"}, "sha256:" + "0" * 64)
