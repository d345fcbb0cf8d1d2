"""Why a resource changes or stays, as its reader sees it."""

from __future__ import annotations

import json

from mlops.core.addresses import Address
from mlops.core.diagnostics import Origin
from mlops.core.explanations import Candidate, Comparison, Explanation, Gate, Part, StepExplanation
from mlops.core.plans import Action, Change, Do, FieldChange, Reason
from mlops.rendering import explanations
from mlops.rendering.looks import Look

MODEL = Address("model.credit")
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
AT = "2026-11-24T10:00:00.000+00:00"
CHANGED = Explanation(
    MODEL,
    Change(
        MODEL,
        Action.UPDATE,
        (Reason("spec"), Reason("input", {"name": "runtime", "before": {"numpy": "2.1"}, "after": {"numpy": "2.2"}})),
        (FieldChange("seed", 7, 8, origin=Origin("conf/model/credit.yaml", 6, 7)),),
    ),
    (
        StepExplanation(
            "fit",
            Do.RUN,
            Comparison.CHANGED,
            (
                Part("runtime", "input", Comparison.CHANGED, {"numpy": "2.1", "python": "3.11"}, {"numpy": "2.2", "python": "3.11"}, "packages"),
                Part("code", "input", Comparison.CHANGED, OLD, NEW, "code", {"files": 2}, {"files": 3}),
                Part("dataset.credit/train", "output", Comparison.SAME, OLD, OLD),
            ),
            OLD,
            NEW,
            AT,
        ),
        StepExplanation(
            "evaluate",
            Do.RUN,
            Comparison.SAME,
            (Part("model.credit/artifact", "output", Comparison.UNKNOWN, OLD), Part("rollout.credit|model.credit/artifact", "baseline", Comparison.SAME)),
            OLD,
            None,
            AT,
        ),
    ),
    ("dataset.credit",),
    ("rollout.credit", "test.credit"),
)  # fmt: skip
STAYS = Explanation(
    Address("rollout.credit"),
    None,
    (StepExplanation("deploy", None, Comparison.SAME, (Part("model.credit/artifact", "output", Comparison.SAME, OLD, OLD),), OLD, OLD, AT),),
    ("model.credit", "test.credit"),
    gates=(Gate(Address("test.credit"), passed=False, at=AT), Gate(Address("test.data"), passed=None)),
)  # fmt: skip
REUSED = Explanation(
    MODEL,
    Change(MODEL, Action.REUSE, (Reason("new"),), reused_from=("dev",)),
    (StepExplanation("fit", Do.REUSE, Comparison.NEW, (Part("data", "input", Comparison.NEW, None, {"a.csv": OLD, "b.csv": OLD}, "file", {}, {"rows": 4454}),), None, NEW, "", Candidate("dev", MODEL, AT)),),
)  # fmt: skip


def test_a_change_reads_as_its_golden_text(golden):
    golden("explanation-changed.txt", explanations.text(CHANGED, Look()))


def test_what_stays_reads_as_its_golden_text(golden):
    golden("explanation-stays.txt", explanations.text(STAYS, Look()))


def test_what_is_reused_reads_as_its_golden_text(golden):
    golden("explanation-reused.txt", explanations.text(REUSED, Look()))


def test_what_cannot_be_planned_yet_says_why():
    found = Explanation(MODEL, None, deferred="what it reads cannot be planned yet")
    assert explanations.text(found, Look()).splitlines() == [
        "model.credit cannot be planned yet: what it reads cannot be planned yet",
        "",
        "reads    nothing of this project",
        "read by  nobody",
    ]


def test_a_program_gets_all_of_it_as_one_line():
    text = explanations.as_json(CHANGED)
    assert "\n" not in text
    assert [step["name"] for step in json.loads(text)["steps"]] == ["fit", "evaluate"]
