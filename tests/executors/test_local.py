"""The local executor, with real worker processes."""

from __future__ import annotations

import contextlib
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
from mlops.executors import memory
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
    chosen = local.choose([step("noop", f"n{index}") for index in range(200)])
    assert len(chosen) == 64
    for one in chosen:
        local.submit(one)
    assert local.choose([step("noop", "more")]) == []
    assert len({outcome.step for outcome in drain(local, 64)}) == 64


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
    assert drain(local)[-1].facts["last"] == {"at": 0}


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


@contextlib.contextmanager
def executor_with(folder, **settings):
    executor = Local(steps.run, needs(**settings), folder)
    try:
        yield executor
    finally:
        executor.close()


def test_a_step_that_wants_more_memory_than_its_limit_fails_and_says_so_and_its_worker_lives_on(tmp_path):
    with executor_with(tmp_path, workers=1, limits={"toy.small": {"memory": "300MiB"}}) as executor:
        executor.submit(step("noop"))
        pid = drain(executor)[-1].facts["pid"]
        executor.submit(step("fill", "small", bytes=400 << 20))
        (outcome,) = drain(executor)
        assert outcome.failure.code == "memory"
        assert outcome.failure.message == "needed more memory than it could have; its limit is 300 MiB"
        assert "executor.limits" in outcome.failure.hint
        executor.submit(step("fill", "large", bytes=400 << 20))
        facts = drain(executor)[-1].facts
        assert (facts["bytes"], facts["pid"]) == (400 << 20, pid)


def test_a_worker_that_the_machine_killed_for_memory_says_so(local, monkeypatch):
    """The kernel counts such kills; here the count is one more than it was."""
    count = memory.kills() + 1
    monkeypatch.setattr(memory, "kills", lambda: count)
    local.submit(step("die"))
    (outcome,) = drain(local)
    assert outcome.failure.code == "memory"
    assert "ran out of memory" in outcome.failure.message
    assert outcome.failure.may_retry


def test_gpus_are_counted_and_each_step_sees_its_own_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-b")
    with executor_with(tmp_path, workers=4, gpus=2, limits={"toy.g*": {"gpus": 1}}) as executor:
        ready = [step("look", name, seconds=0.2) for name in ("g1", "g2", "g3", "c1")]
        chosen = executor.choose(ready)
        assert [one.address.name for one in chosen] == ["g1", "g2", "c1"]
        for one in chosen:
            executor.submit(one)
        found = {outcome.step[4:6]: outcome.facts["gpus"] for outcome in drain(executor, 3)}
        assert sorted([found["g1"], found["g2"]]) == ["4", "GPU-b"]
        assert found["c1"] == ""
        executor.submit(ready[2])
        assert drain(executor)[-1].facts["gpus"] in ("4", "GPU-b")


def test_a_step_with_a_gpu_leaves_nothing_on_it_since_its_worker_ends_with_it(tmp_path):
    with executor_with(tmp_path, workers=1, gpus=1, limits={"toy.g": {"gpus": 1}}) as executor:
        pids = []
        for name in ("c", "g", "g", "c"):
            executor.submit(step("look", name))
            pids.append(drain(executor)[-1].facts["pid"])
        assert len(set(pids)) == 4


def test_a_step_is_bound_to_the_processors_that_it_asked_for_and_the_next_one_is_free(tmp_path):
    everywhere = sorted(os.sched_getaffinity(0))
    with executor_with(tmp_path, workers=1, limits={"toy.one": {"cpus": 1}}) as executor:
        executor.submit(step("look", "one"))
        assert len(drain(executor)[-1].facts["cores"]) == 1
        executor.submit(step("look", "any"))
        assert drain(executor)[-1].facts["cores"] == everywhere


def test_steps_that_need_all_processors_run_alone(tmp_path):
    with executor_with(tmp_path, workers=3, cpus=3, limits={"toy.b*": {"cpus": 3}}) as executor:
        for name in ("a1", "b1", "a2", "b2", "a3"):
            executor.submit(step("look", name, seconds=0.1))
        spans = {outcome.step[4:6]: outcome.facts for outcome in drain(executor, 5)}
    for big in ("b1", "b2"):
        for other in spans.keys() - {big}:
            assert spans[other]["to"] <= spans[big]["from"] or spans[big]["to"] <= spans[other]["from"]


def test_each_step_has_its_own_time(tmp_path):
    with executor_with(tmp_path, workers=2, timeout=60, limits={"toy.a": {"timeout": 0.3}}) as executor:
        executor.submit(step("sleep", "a", seconds=60))
        executor.submit(step("sleep", "b", seconds=1))
        first, second = drain(executor, 2)
        assert (first.failure.code, "0.3 s" in first.failure.message) == ("timeout", True)
        assert second.status is Status.DONE


@pytest.mark.parametrize("how", ["close", "timeout"])
def test_what_a_step_has_started_ends_with_it(tmp_path, how):
    settings = {"timeout": 1.0} if how == "timeout" else {}
    with executor_with(tmp_path, workers=1, **settings) as executor:
        executor.submit(step("start"))
        (event,) = executor.wait(30)
        child = int(event.data["message"])
        assert is_running(child)
        if how == "timeout":
            drain(executor)
    until = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < until, "the child outlived its step"
        time.sleep(0.05)


def is_running(pid):
    """Tell whether the process is there, and no zombie that waits to be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_has_a_session_of_its_own_so_that_ctrl_c_on_the_terminal_does_not_reach_it(local):
    local.submit(step("noop"))
    pid = drain(local)[-1].facts["pid"]
    assert os.getsid(pid) == pid


def test_what_a_step_and_its_children_print_goes_to_a_file_of_the_step(local, tmp_path, capfd):
    local.submit(step("print"))
    drain(local)
    assert capfd.readouterr().out == ""
    assert sorted((tmp_path / "toy.a.print.out").read_text().splitlines()) == ["printed by a child", "printed by the step"]
    local.submit(step("noop"))
    drain(local)
    local.close()
    assert [path.name for path in tmp_path.iterdir()] == ["toy.a.print.out"]


def test_the_last_words_of_a_step_whose_worker_died_are_kept_with_those_of_its_other_attempts(local, tmp_path):
    for _ in range(2):
        local.submit(step("die", saying="good-bye"))
        drain(local)
    assert (tmp_path / "toy.a.die.out").read_text() == "good-bye\n" * 2


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
    while is_running(worker):
        assert time.monotonic() < until, "the worker outlived apply"
        time.sleep(0.05)
