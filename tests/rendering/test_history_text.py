"""What was done to a resource, as its reader sees it."""

from __future__ import annotations

import json

from mlops.core.addresses import Address
from mlops.core.histories import Chapter, Ending, Run, Source
from mlops.core.states import Record, StepRecord
from mlops.rendering import histories
from mlops.rendering.looks import Look

OLD, NEW, TABLE = ("sha256:" + letter * 64 for letter in "abc")


def record(address, values, outputs, facts, inputs=(), **rest):
    step = StepRecord("sha256:1", values, outputs, facts, 3.0, "2026-11-20T10:00:00.000+00:00")
    return Record(Address(address), {}, "", {"fit": step}, inputs=dict(inputs), **rest)


DATA = record(
    "dataset.credit",
    {"input:source": {"data/credit.csv": OLD}},
    {"table": TABLE, "train": TABLE},
    {"rows": 4454},
    {"source": {"rows": 4454}},
)
MODEL = record("model.credit", {"output:dataset.credit/train": TABLE}, {"artifact": NEW}, {"roc_auc": 0.8123})
SERVED = record("rollout.credit", {"output:model.credit/artifact": NEW}, {"serving": NEW}, {"replicas": 3})
FROM = (Source("model.credit", {"artifact": NEW}, MODEL, (Source("dataset.credit", {"train": TABLE}, DATA),)),)
ANNA = Run("1ce303cd73f6", "2026-11-20T10:00:00.000+00:00", "anna@build-7 (process 12, started 3)", "release 12", "sha256:2")
CHAPTERS = (
    (
        Chapter(
            ANNA,
            "2026-11-20T10:01:00.000+00:00",
            (Ending("deploy", "done", 1.7),),
            ({"code": "spec"}, {"code": "output", "ref": "model.credit/artifact", "before": OLD, "after": NEW}),
            (("replicas", 2, 3),),
            SERVED,
            until="2026-11-24T09:30:00.000+00:00",
        ),
        FROM,
    ),
    (
        Chapter(
            Run("b2c76b10b6b0", owner="ben@laptop (process 4, started 5)"),
            "2026-11-23T09:00:00.000+00:00",
            (Ending("deploy", "failed", 30.0, "port 8080 is in use\nby nginx"),),
            ({"code": "upstream", "refs": ["model.credit/artifact"]},),
        ),
        (),
    ),
    (Chapter(Run("c0ffee"), "2026-11-23T09:10:00.000+00:00", (Ending("deploy"),)), ()),
    (
        Chapter(
            Run("d00d1e", owner="ben@laptop (process 4, started 5)"),
            "2026-11-24T09:30:00.000+00:00",
            (Ending("undo", "done", 0.2),),
            ({"code": "removed"},),
            is_forgotten=True,
        ),
        (),
    ),
)


def test_a_day_reads_as_its_golden_text(golden):
    golden("history-day.txt", histories.text(CHAPTERS, "2026-11-24", Look()))


def test_all_of_it_reads_as_its_golden_text(golden):
    golden("history-overview.txt", histories.overview([chapter for chapter, _ in CHAPTERS], Look(120)))


def test_a_day_before_all_says_so():
    assert histories.text([], "2020-01-01", Look()) == "nothing of it was there on 2020-01-01"
    assert histories.overview([], Look()) == "nothing has happened yet"


def test_a_program_gets_one_line_for_each_run():
    lines = [json.loads(line) for line in histories.as_json(CHAPTERS).splitlines()]
    assert [line["run"]["id"] for line in lines] == ["1ce303cd73f6", "b2c76b10b6b0", "c0ffee", "d00d1e"]
    assert lines[0]["sources"][0]["sources"][0]["record"]["inputs"] == {"source": {"rows": 4454}}
