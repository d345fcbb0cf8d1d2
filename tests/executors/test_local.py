"""The local executor, with real worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mlops.core.addresses import Address
from mlops.core.events import Event
from mlops.core.executions import Checkpoint, Outcome, Status
from mlops.core.plans import Do, Step
from mlops.core.settings import ExecutorSettings
from mlops.executors.local import Local
from mlops.executors.needs import Needs

import steps


def step(verb, name="a", *, here=False, **op):
    return Step(f"toy.{name}/{verb}", Address(f"toy.{name}"), verb, Do.RUN, verb, op, here=here)


def needs(**settings):
    return Needs(ExecutorSettings.model_validate(settings), 2)


@pytest.fixture
def local(tmp_path):
    executor = Local(steps.run, needs(workers=2), tmp_path)
    yield executor
    executor.close()


def drain(executor, count=1):
    """Collect messages until `count` steps have ended."""
    messages = []
    until = time.monotonic() + 60
    while sum(isinstance(message, Outcome) for message in messages) < count:
        assert time.monotonic() < until
        messages.extend(executor.wait(1.0))
    return messages


def test_steps_run_in_other_processes_that_are_kept_warm(local):
    pids = set()
    for _ in range(3):
        local.submit(step("noop"))
        pids.add(drain(local)[-1].facts["pid"])
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_steps_run_side_by_side_up_to_the_number_of_workers(local):
    local.submit(step("sleep", "a", seconds=0.5))
    local.submit(step("sleep", "b", seconds=0.5))
    assert local.choose([step("noop", "c")]) == []
    assert {outcome.facts["pid"] for outcome in drain(local, 2)} != {os.getpid()}
    assert len(local.choose([step("noop", name) for name in "cde"])) == 2


def test_short_steps_are_asked_for_several_at_a_time_so_that_they_are_begun_together(local):
    local.submit(step("noop"))
    drain(local)
    chosen = local.choose([step("noop", f"n{index}") for index in range(100)])
    assert len(chosen) == 32
    for one in chosen:
        local.submit(one)
    assert local.choose([step("noop", "more")]) == []
    assert len({outcome.step for outcome in drain(local, 32)}) == 32


def test_a_step_that_waits_for_a_worker_is_not_lost_when_the_worker_dies(local):
    local.submit(step("noop"))
    drain(local)
    for index in range(6):
        local.submit(step("die" if index % 2 else "noop", f"n{index}"))
    statuses = [outcome.status for outcome in drain(local, 6)]
    assert sorted(statuses) == [Status.DONE] * 3 + [Status.FAILED] * 3


def test_a_delivery_runs_in_a_thread_of_this_process(local):
    local.submit(step("noop", here=True))
    assert drain(local)[-1].facts["pid"] == os.getpid()


@pytest.mark.parametrize("here", [True, False])
def test_a_checkpoint_waits_until_it_is_durable_and_the_last_one_is_handed_in(local, here):
    local.submit(step("checkpoint", here=here), {"at": 0})
    (checkpoint,) = local.wait(30)
    assert isinstance(checkpoint, Checkpoint)
    assert local.wait(0.2) == ()
    local.acknowledge(checkpoint)
    assert drain(local)[-1].facts == {"last": {"at": 0}}


def test_progress_arrives_as_events(local):
    local.submit(step("say"))
    event = drain(local)[0]
    assert event == Event("step-progress", step="toy.a/say", data={"message": "half", "done": 0.5})


def test_a_killed_worker_fails_its_step_and_the_pool_lives_on(local):
    local.submit(step("die"))
    (outcome,) = drain(local)
    assert outcome.status is Status.FAILED
    assert outcome.failure.code == "killed"
    assert "memory" in outcome.failure.hint
    local.submit(step("noop"))
    assert drain(local)[-1].status is Status.DONE


def test_a_step_that_takes_too_long_is_stopped(tmp_path):
    executor = Local(steps.run, needs(workers=1, timeout=0.3), tmp_path)
    executor.submit(step("sleep", seconds=60))
    (outcome,) = drain(executor)
    executor.close()
    assert outcome.failure.code == "timeout"


def test_what_a_step_and_its_children_print_goes_to_a_file_of_the_step(local, tmp_path, capfd):
    local.submit(step("print"))
    drain(local)
    assert sorted((tmp_path / "toy.a.print.out").read_text().splitlines()) == ["printed by a child", "printed by the step"]
    assert capfd.readouterr().out == ""
    local.submit(step("noop"))
    drain(local)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.a.print.out"]


def test_workers_die_with_the_process_of_apply(tmp_path):
    """`kill -9` of apply leaves no worker behind."""
    program = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(steps.__file__).parent)!r})
        import steps
        from pathlib import Path
        from mlops.core.addresses import Address
        from mlops.core.plans import Do, Step
        from mlops.core.settings import ExecutorSettings
        from mlops.executors.local import Local
        from mlops.executors.needs import Needs
        if __name__ == "__main__":
            local = Local(steps.run, Needs(ExecutorSettings(workers=1), 1), Path({str(tmp_path)!r}))
            local.submit(Step("toy.a/noop", Address("toy.a"), "noop", Do.RUN, "noop"))
            while not (found := local.wait(1.0)):
                pass
            local.submit(Step("toy.a/sleep", Address("toy.a"), "sleep", Do.RUN, "sleep", {{"seconds": 60}}))
            print(found[0].facts["pid"], flush=True)
            time.sleep(60)
        """
    )
    script = tmp_path / "apply.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        process.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < until, "the worker outlived apply"
        time.sleep(0.05)
