"""The step `read`: equal rows give equal bytes, and all that does not fit is said at once."""

import sqlite3

import pytest

from mlops.core.errors import DataError, StalePlan

COLUMNS = {
    "age": {"type": "int", "min": 18, "max": 120},
    "housing": {"type": "category", "values": ["own", "rent", "free"]},
    "default": {"type": "bool"},
}
CREDIT = {"source": {"path": "credit.csv"}, "columns": COLUMNS}
ROWS = [(20 + number, ["own", "rent", "free"][number % 3], ["yes", "no"][number % 2]) for number in range(60)]


def _csv(rows, header="age,housing,default"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows), ""])


def test_columns_come_typed_complete_and_in_the_order_of_the_spec(project):
    project.write("credit.csv", _csv(ROWS))
    made = project.read(**CREDIT)
    frame = project.frame(made)
    assert list(frame.columns) == ["age", "housing", "default"]
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "category", "bool"]
    assert frame["housing"].cat.categories.tolist() == ["own", "rent", "free"]
    given = sorted((age, housing, default == "yes") for age, housing, default in ROWS)
    assert sorted(frame.itertuples(index=False, name=None)) == given
    assert {name: made.facts[name] for name in ("rows", "columns", "missing")} == {"rows": 60, "columns": 3, "missing": 0}


@pytest.mark.parametrize(
    "text",
    [
        _csv(reversed(ROWS)),
        _csv(ROWS).replace("\n", "\r\n"),
        "\ufeff" + _csv(ROWS).rstrip(),
        _csv([(f'"{age}.0"', f'"{housing}"', {"yes": "TRUE", "no": "0"}[default]) for age, housing, default in ROWS]),
        _csv([(default, age, housing) for age, housing, default in ROWS], "default,age,housing"),
    ],
    ids=["row order", "line ends", "byte order mark", "spelling", "column order"],
)
def test_a_reformatted_file_gives_equal_bytes(project, text):
    split = {"test": 0.25, "stratify": "default", "seed": 7}
    project.write("credit.csv", _csv(ROWS))
    first = project.read(**CREDIT, split=split)
    project.write("credit.csv", text)
    second = project.read(**CREDIT, split=split)
    assert first.outputs == second.outputs
    assert first.facts["sha256"] != second.facts["sha256"]


def test_another_format_or_a_database_with_the_same_rows_gives_equal_bytes(project):
    project.write("credit.csv", _csv(ROWS))
    outputs = project.read(**CREDIT).outputs
    lines = "".join(
        f'{{"housing":"{housing}","age":{age},"default":{str(default == "yes").lower()}}}\n' for age, housing, default in ROWS
    )
    project.write("credit.jsonl", lines)
    project.frame(project.read(**CREDIT)).to_parquet(project.root / "credit.parquet")
    with sqlite3.connect(project.root / "credit.db") as connection:
        connection.execute("create table credit (age integer, housing text, bad integer)")
        connection.executemany(
            "insert into credit values (?, ?, ?)", [(age, housing, default == "yes") for age, housing, default in ROWS]
        )
    connection.close()
    query = {"query": 'select age, housing, bad as "default" from credit', "url": "sqlite:///credit.db"}
    for source in ({"path": "credit.jsonl"}, {"path": "credit.parquet"}, query):
        assert project.read(source=source, columns=COLUMNS).outputs == outputs


def test_without_columns_types_are_inferred_and_told(project):
    project.write(
        "a.csv",
        "count,ratio,is,day,code,city,note,empty,big\n"
        "1,1.5,true,2024-01-31,007,Rome,aa,,99999999999999999999\n"
        "2,,FALSE,2024-02-01T10:00:00Z,011,Rome,bb,NA,1\n"
        "NA,2,true,2024-02-01,012,Oslo,cc,,2\n"
        "3,-1e3,true,2024-02-01,013,Oslo,dd,,3\n",
    )
    made = project.read(source={"path": "a.csv"})
    assert made.facts["inferred"] == {
        "count": "int",
        "ratio": "float",
        "is": "bool",
        "day": "datetime",
        "code": "string",
        "city": "category",
        "note": "string",
        "empty": "float",
        "big": "string",
    }
    assert made.facts["missing"] == 6


def test_a_table_of_inferred_types_is_the_one_of_declared_types(project):
    project.write("credit.csv", _csv([(age, housing, {"yes": "true", "no": "false"}[default]) for age, housing, default in ROWS]))
    columns = {**COLUMNS, "housing": {"type": "category"}}
    assert project.read(source=CREDIT["source"]).outputs == project.read(source=CREDIT["source"], columns=columns).outputs


def test_extra_columns_are_refused_dropped_or_kept(project):
    project.write("credit.csv", _csv([(*row, 1) for row in ROWS], "age,housing,default,extra"))
    with pytest.raises(DataError, match="the spec does not name 'extra'"):
        project.read(**CREDIT)
    dropped = project.read(**CREDIT, extra_columns="drop")
    assert dropped.facts["dropped"] == ["extra"]
    assert "extra" not in project.frame(dropped)
    kept = project.read(**CREDIT, extra_columns="keep")
    assert kept.facts["inferred"] == {"extra": "int"}
    assert project.frame(kept)["extra"].tolist() == [1] * 60


def test_all_that_does_not_fit_is_said_at_once_with_its_line(project):
    project.write(
        "credit.csv",
        "id,age,housing,defualt,name,when,ratio\n"
        "1,old,own,yes,Ann,2024-01-31,1\n"
        "2,17,rentt,no,bob,31.01.2024,inf\n"
        "2,99999999999999999999,own,no,Cy,2023-01-01,x\n"
        ',"",free,no,"Di\nDi",2024-13-01,0.5\n'
        "5,130,free,no,Ed,2024-01-31,2.5\n",
    )
    columns = {
        **COLUMNS,
        "id": {"type": "string"},
        "name": {"type": "string", "pattern": "[A-Z][a-z]+", "unique": True},
        "when": {"type": "datetime", "min": "2024-01-01"},
        "ratio": {"type": "float", "max": 2},
    }
    with pytest.raises(DataError) as error:
        project.read(source={"path": "credit.csv"}, columns=columns, key="id")
    assert error.value.message.split("\n- ") == [
        "credit.csv does not fit its spec: 14 problems",
        "there is no column 'default' in the data: did you mean 'defualt'?",
        "the spec does not name 'defualt': add them to columns, or set extra_columns to drop or keep",
        "column 'age' is no int in 2 rows: 'old' (credit.csv:2), '99999999999999999999' (credit.csv:4)",
        "column 'age' is below its min 18 in 1 row: '17' (credit.csv:3)",
        "column 'age' is above its max 120 in 1 row: '130' (credit.csv:7)",
        "column 'age' is missing and not nullable in 1 row: '' (credit.csv:5)",
        "column 'housing' is none of own, rent, free in 1 row: 'rentt' (credit.csv:3)",
        "column 'id' repeats a value and must be unique in 2 rows: '2' (credit.csv:3), '2' (credit.csv:4)",
        "column 'id' is missing and not nullable in 1 row: '' (credit.csv:5)",
        "column 'name' does not match [A-Z][a-z]+ in 2 rows: 'bob' (credit.csv:3), 'Di\nDi' (credit.csv:5)",
        "column 'when' is no datetime in 2 rows: '31.01.2024' (credit.csv:3), '2024-13-01' (credit.csv:5)",
        "column 'when' is below its min 2024-01-01 in 1 row: '2023-01-01' (credit.csv:4)",
        "column 'ratio' is no float in 2 rows: 'inf' (credit.csv:3), 'x' (credit.csv:4)",
        "column 'ratio' is above its max 2 in 1 row: '2.5' (credit.csv:7)",
    ]


def test_a_problem_names_its_first_five_rows(project):
    project.write("a.csv", "a\n" + "x\n" * 1000)
    with pytest.raises(DataError) as error:
        project.read(source={"path": "a.csv"}, columns={"a": {"type": "int"}})
    assert error.value.message.endswith("'x' (a.csv:2), 'x' (a.csv:3), 'x' (a.csv:4), 'x' (a.csv:5), 'x' (a.csv:6), …")
    assert "in 1000 rows" in error.value.message


def test_long_cells_and_many_problems_are_cut(project):
    project.write("a.csv", ",".join(f"c{number}" for number in range(70)) + "\n" + ",".join(["x" * 500] * 70) + "\n")
    with pytest.raises(DataError) as error:
        project.read(source={"path": "a.csv"}, columns={f"c{number}": {"type": "int"} for number in range(70)})
    assert error.value.message.endswith("and 20 more")
    assert len(error.value.message) < 8000


@pytest.mark.parametrize("text", ["a,b\n", "a,b"])
def test_a_table_without_rows_is_refused(project, text):
    project.write("a.csv", text)
    with pytest.raises(DataError, match="there are no rows"):
        project.read(source={"path": "a.csv"})


def test_a_marker_of_missing_cells_is_a_value_where_the_column_lists_it(project):
    project.write("a.csv", "garage,street\nNA,NA\nyes,x\n-,y\n")
    columns = {"garage": {"type": "category", "values": ["NA", "yes", "-"]}, "street": {"type": "string", "nullable": True}}
    made = project.read(source={"path": "a.csv"}, columns=columns)
    assert sorted(project.frame(made)["garage"]) == ["-", "NA", "yes"]
    assert made.facts["missing"] == 1
    assert project.read(source={"path": "a.csv"}, missing=["", "-", "NA"]).facts["missing"] == 3


def test_a_pin_refuses_other_bytes(project):
    project.write("credit.csv", _csv(ROWS))
    pin = project.read(**CREDIT).facts["sha256"]
    assert project.read(**CREDIT, sha256=pin).outputs == project.read(**CREDIT, sha256=pin.removeprefix("sha256:")).outputs
    project.write("credit.csv", _csv(ROWS[1:]))
    with pytest.raises(DataError, match=f"credit.csv has sha256:[0-9a-f]{{64}}, and its spec pins {pin}"):
        project.read(**CREDIT, sha256=pin)


def test_a_file_that_changed_after_planning_is_refused(project):
    project.write("credit.csv", _csv(ROWS))
    op = project.plan(**CREDIT)
    project.write("credit.csv", _csv(ROWS[1:]))
    with pytest.raises(StalePlan, match=r"credit\.csv changed since the plan was made"):
        op.run(project.world)


def test_key_and_split_name_columns_that_the_table_has(project):
    project.write("credit.csv", _csv(ROWS))
    with pytest.raises(DataError) as error:
        project.read(source=CREDIT["source"], key="id", split={"test": 0.2, "stratify": "defalt"})
    assert error.value.message.split("\n- ")[1:] == [
        "key names 'id', no column of the table: columns: age, default, housing",
        "split.stratify names 'defalt', no column of the table: did you mean 'default'?",
    ]


def test_the_key_is_told_to_those_who_read_the_table(project):
    project.write("credit.csv", _csv([(number, *row) for number, row in enumerate(ROWS)], "id,age,housing,default"))
    made = project.read(source=CREDIT["source"], key="id", split={"test": 0.2})
    assert [project.frame(made, name).attrs for name in ("table", "train", "test")] == [{"key": "id"}] * 3


def test_bundled_sets_need_no_columns(project):
    made = project.read(source={"bundled": "iris"}, split={"test": 0.2, "stratify": "target"})
    assert made.facts["splits"] == {"train": 120, "test": 30}
    assert project.frame(made, "test")["target"].value_counts().to_dict() == {0: 10, 1: 10, 2: 10}
