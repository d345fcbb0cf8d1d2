"""Problems, as their reader sees them."""

from __future__ import annotations

from mlops.core.diagnostics import Diagnostic, Origin, Severity
from mlops.core.errors import SpecError, StalePlan
from mlops.rendering import diagnostics
from mlops.rendering.looks import Look

LINES = {("conf/model/credit.yaml", 7): "  max_dept: 6", ("conf/model/credit.yaml", 2): "label: defalt\x1b[2J"}
PROBLEMS = SpecError(
    [
        Diagnostic(
            "no-column", "no column 'defalt' in dataset.credit", "model.credit", "label", Origin("conf/model/credit.yaml", 2, 8)
        ),
        Diagnostic("bad-override", "write +model.credit.x=1 to add a field", origin=Origin(override="model.credit.x=1")),
        Diagnostic(
            "unknown-field",
            "no field 'max_dept'",
            "model.credit",
            "max_dept",
            Origin("conf/model/credit.yaml", 7, 3),
            "did you mean 'max_depth'?",
        ),
        Diagnostic("type", "expected a whole number, got 'x'", "model.credit", "params.max_depth", Origin("conf/a.yaml", 12)),
        Diagnostic("slow", "reads every row twice", "dataset.credit", severity=Severity.WARNING),
    ]
)


def read_line(origin):
    return LINES.get((origin.file, origin.line))


def test_all_problems_read_as_their_golden_text(golden):
    golden("diagnostics.txt", diagnostics.error(PROBLEMS, Look(), read_line))


def test_an_error_without_a_place_is_its_message_and_its_hint():
    text = diagnostics.error(StalePlan("the plan is stale: model.a changed", "plan again"), Look(), read_line)
    assert text == "error[stale-plan] the plan is stale: model.a changed\n  hint: plan again"
