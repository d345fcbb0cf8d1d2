"""A plan as its reader sees it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core.addresses import Address
from mlops.core.diagnostics import Origin
from mlops.core.plans import FORMAT, Action, Change, Do, FieldChange, Plan, Reason, Step
from mlops.rendering import markdown, plans
from mlops.rendering.looks import Look, cells

BEFORE, AFTER, OTHER = (f"sha256:{digit * 64}" for digit in "abc")


def step(address: str, name: str, *after: str, do: Do = Do.RUN) -> Step:
    return Step(f"{address}/{name}", Address(address), name, do, verb=f"{address.partition('.')[0]}.{name}", after=after)


def change(address: str, action: Action, *reasons: Reason, **rest) -> Change:
    return Change(Address(address), action, tuple(reasons), **rest)


def plan(*changes: Change, steps: tuple[Step, ...] = (), unchanged: int = 0) -> Plan:
    return Plan(FORMAT, "sha256:0", "credit", "dev", changes, steps, unchanged=unchanged)


FIRST = plan(
    change("dataset.credit", Action.CREATE, Reason("new"), fields=(FieldChange("seed", None, 7),)),
    change("model.credit", Action.CREATE, Reason("new")),
    change("test.credit", Action.CREATE, Reason("new")),
    change("rollout.credit", Action.CREATE, Reason("new")),
    steps=(
        step("dataset.credit", "read"),
        step("model.credit", "fit", "dataset.credit/read"),
        step("test.credit", "judge", "model.credit/fit"),
        step("rollout.credit", "deliver", "test.credit/judge"),
    ),
)

DEEPER = plan(
    change(
        "model.credit",
        Action.UPDATE,
        Reason("spec"),
        fields=(
            FieldChange("params.max_depth", 4, 6, origin=Origin("conf/model/credit.yaml", 9, 14)),
            FieldChange("params.tol", 0.001, None),
            FieldChange("seed", 7, 8, origin=Origin(override="model.credit.seed=8")),
        ),
        seconds=12.2,
    ),
    change(
        "test.credit",
        Action.UPDATE,
        Reason("upstream", {"refs": ["model.credit/artifact", "model.credit/holdout"]}),
        condition=("dataset.credit/test", "model.credit/artifact", "model.credit/holdout"),
        seconds=0.41,
    ),
    change(
        "rollout.credit",
        Action.UPDATE,
        Reason("upstream", {"refs": ["model.credit/artifact"]}),
        condition=("model.credit/artifact",),
        seconds=1.5,
    ),
    steps=(
        step("model.credit", "fit"),
        step("model.credit", "evaluate", "model.credit/fit"),
        step("test.credit", "judge", "model.credit/fit"),
        step("rollout.credit", "deliver", "test.credit/judge", "model.credit/fit"),
    ),
    unchanged=1,
)

DATA = plan(
    change(
        "dataset.credit",
        Action.UPDATE,
        Reason(
            "input",
            {
                "name": "source",
                "before": {"data/credit.csv": BEFORE},
                "after": {"data/credit.csv": AFTER},
                "facts": {"rows": 4455, "bytes": 10},
                "facts_before": {"rows": 4454, "bytes": 9},
            },
        ),
        seconds=0.8,
    ),
    change(
        "dataset.months",
        Action.UPDATE,
        Reason(
            "input",
            {
                "name": "source",
                "before": {f"data/2026-0{month}.csv": BEFORE for month in range(1, 9)},
                "after": {f"data/2026-0{month}.csv": AFTER for month in range(2, 10)},
                "facts": {"rows": 800},
                "facts_before": {"rows": 800},
            },
        ),
        Reason(
            "input",
            {
                "name": "runtime",
                "before": {"pandas": "3.1.0", "python": "3.11"},
                "after": {"pandas": "3.1.1", "python": "3.11"},
                "facts": {},
                "facts_before": {},
            },
        ),
    ),
    change("test.credit", Action.UPDATE, Reason("output", {"ref": "dataset.credit/test", "before": BEFORE, "after": AFTER})),
    change(
        "test.other",
        Action.UPDATE,
        Reason("output", {"ref": "rollout.credit|model.credit/artifact", "before": None, "after": OTHER}),
    ),
    steps=(step("dataset.credit", "read"), step("dataset.months", "read"), step("test.credit", "judge")),
)

MIXED = plan(
    change(
        "dataset.credit",
        Action.RECORD,
        Reason("spec"),
        fields=(
            FieldChange(
                "description",
                "German credit",
                "German credit, 1994",
                cosmetic=True,
                origin=Origin("conf/dataset/credit.yaml", 1, 14),
            ),
        ),
    ),
    change("model.credit", Action.REUSE, Reason("spec"), reused_from=("dev",)),
    change("model.copy", Action.REUSE, Reason("new"), fields=(FieldChange("seed", None, 7),), reused_from=("dev", "prod")),
    change("model.churn", Action.UPDATE, Reason("asked"), Reason("unfinished"), Reason("kind")),
    change(
        "test.credit",
        Action.UPDATE,
        Reason("spec"),
        fields=(
            FieldChange(
                "checks",
                [{"metric": "roc_auc", "min": 0.78}, {"metric": "recall", "min": 0.5}],
                [{"metric": "roc_auc", "min": 0.8}, {"metric": "recall", "min": 0.5}],
                origin=Origin("conf/test/credit.yaml", 3, 1),
            ),
            FieldChange("slices", [], [{"column": "housing", "edges": None, "values": []}]),
        ),
    ),
    change(
        "rollout.credit",
        Action.REPLACE,
        Reason("drift", {"found": ["replica 2 of 3 does not answer"]}),
        Reason("spec"),
        Reason(
            "blocked",
            {"tests": {"test.credit": [{"check": "roc_auc", "expected": "≥ 0.78", "got": 0.71, "slice": "housing=rent"}]}},
        ),
        fields=(FieldChange("port", 8080, 8081, replaces=True, origin=Origin("conf/rollout/credit.yaml", 4, 7)),),
        blocked=("test.credit",),
    ),
    change("rollout.old", Action.DELETE, Reason("removed")),
    unchanged=12,
)

CASES = {"first": FIRST, "deeper": DEEPER, "data": DATA, "mixed": MIXED, "nothing": plan(unchanged=6)}


@pytest.mark.parametrize("name", CASES)
def test_plan_reads_as_its_golden_text(name, golden):
    golden(f"plan-{name}.txt", plans.text(CASES[name], Look(width=100)))


@pytest.mark.parametrize("name", ["data", "mixed"])
def test_plan_fits_a_narrow_terminal(name, golden):
    text = plans.text(CASES[name], Look(width=60))
    golden(f"plan-{name}-narrow.txt", text)


def test_plan_as_markdown(golden):
    golden("plan-mixed.md", markdown.plan(MIXED))


def test_markdown_of_a_plan_that_does_nothing_is_one_heading_and_one_line():
    assert markdown.plan(CASES["nothing"]) == "### mlops plan: credit in dev\n\nnothing to do; 6 resources unchanged"


@pytest.mark.parametrize("name", CASES)
def test_colours_change_no_letter(name):
    painted = plans.text(CASES[name], Look(width=100, colour=True))
    assert re.sub(r"\x1b\[\d+m", "", painted).replace(" ", "") == plans.text(CASES[name], Look(width=100)).replace(" ", "")
    assert "\x1b" in painted or name == "nothing"


def test_estimate_is_the_longest_chain_not_the_sum():
    side = replace(DEEPER, changes=(*DEEPER.changes, change("model.other", Action.UPDATE, seconds=5.0)))
    side = replace(side, steps=(*side.steps, step("model.other", "fit")))
    assert plans.estimate(side) == pytest.approx(12.2 + 0.41 + 1.5)


def test_estimate_says_at_least_where_a_step_was_never_timed():
    assert plans.closing(DATA).endswith("; at least 0.8 s")
    assert plans.closing(DEEPER).endswith("; about 14 s")


def test_an_escape_sequence_in_a_value_does_not_reach_the_terminal():
    evil = plan(change("model.a", Action.UPDATE, Reason("spec"), fields=(FieldChange("x", "\x1b[2J", "a\rb"),)))
    text = plans.text(evil, Look())
    assert "\x1b" not in text
    assert "\r" not in text


@given(st.integers(60, 200), st.text(max_size=300), st.text(max_size=300))
def test_details_never_run_over_the_width(width, before, after):
    one = FieldChange("params.name", before, after, origin=Origin("conf/model/credit.yaml", 9, 14))
    lines = plans.text(plan(change("model.credit", Action.UPDATE, Reason("spec"), fields=(one,))), Look(width=width)).splitlines()
    assert all(cells(line) <= width for line in lines if line.startswith("    "))


def test_what_a_kind_has_to_say_stands_below_its_change_and_fits_the_width():
    note = "error_rate: to see 2 % where 1 % is allowed takes 1,824 requests at the candidate"
    told = plans.text(plan(change("rollout.a", Action.UPDATE, Reason("spec"), notes=(note,))), Look(width=60)).splitlines()
    assert told[3:5] == ["    error_rate: to see 2 % where 1 % is allowed takes 1,824", "      requests at the candidate"]
