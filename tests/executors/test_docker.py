"""The executor `docker`, with a real engine and real containers."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest

from mlops.core.addresses import Address
from mlops.core.boxes import Box
from mlops.core.errors import Unavailable
from mlops.core.events import Event
from mlops.core.executions import Checkpoint, Failure, Outcome, Status
from mlops.core.plans import Do, Step
from mlops.core.settings import Allow, ExecutorSettings, Mount
from mlops.core.worlds import Place
from mlops.executors import speaking, wire
from mlops.executors.docker import Boxing, Docker
from mlops.executors.needs import Needs
from mlops.world.boxes import DockerBoxes

import engines
import steps

OURS = {"dev.mlops.tests": f"e1-{os.getpid()}"}
PLACE = Place("/project", "toys", "dev", Allow())
SECRET = "correct horse"  # noqa: S105 - one that is nobody's


def step(verb, name="a", *, here=False, **op):
    return Step(f"toy.{name}/{verb}", Address(f"toy.{name}"), verb, Do.RUN, verb, op, here=here)


def ask(one, last):
    return wire.from_work(wire.Work(PLACE, one, last, {"MLOPS_SECRET_DATABASE": SECRET}))


def made(rig, folder, **settings):
    program, mounts = engines.interpreter(folder)
    box = Box(
        rig.image,
        (program, str(engines.ROOT / "tests/support/boxed_steps.py")),
        user=f"{os.getuid()}:{os.getgid()}",
        mounts=tuple(Mount.model_validate(mount) for mount in mounts),
        tmpfs=("/tmp",),  # noqa: S108 - a container's
        labels=OURS,
    )
    needs = Needs(ExecutorSettings.model_validate({"type": "docker", "image": rig.image, "workers": 2, **settings}), 2)
    return Docker(Boxing(DockerBoxes(rig.engine), box, ask), steps.run, needs, folder / "logs")


@pytest.fixture
def docker(engine, tmp_path):
    """Give the function that makes an executor; afterwards nothing of it is left on the engine."""
    executors = []

    def make(**settings):
        executors.append(made(engine, tmp_path, **settings))
        return executors[-1]

    yield make
    for executor in executors:
        executor.close()
    assert containers(engine) == []


def containers(rig):
    client = rig.client()
    found = client.api.containers(all=True, filters={"label": [f"{name}={value}" for name, value in OURS.items()]})
    client.close()
    return found


def drain(executor, count=1):
    """Collect messages until `count` steps have ended."""
    messages = []
    until = time.monotonic() + 60
    while sum(isinstance(message, Outcome) for message in messages) < count:
        assert time.monotonic() < until, messages
        messages.extend(executor.wait(1.0))
    return messages


def ended(executor, one, last=None):
    executor.submit(one, last)
    return drain(executor)[-1]


def test_a_step_speaks_and_prints_and_waits_for_its_checkpoint_as_anywhere(docker, tmp_path):
    executor = docker()
    executor.submit(step("say"))
    executor.submit(step("checkpoint", "b"), {"at": 0})
    messages = []
    while not any(isinstance(message, Checkpoint) for message in messages):
        messages.extend(executor.wait(1.0))
    executor.acknowledge(Checkpoint("toy.b/checkpoint", {"at": 1}))
    messages += drain(executor, 2 - sum(isinstance(message, Outcome) for message in messages))
    assert Event("step-progress", step="toy.a/say", data={"message": "half", "done": 0.5}) in messages
    assert next(message for message in messages if isinstance(message, Checkpoint)).data == {"at": 1}
    outcomes = {message.step: message for message in messages if isinstance(message, Outcome)}
    assert outcomes["toy.b/checkpoint"].facts["last"] == {"at": 0}
    assert outcomes["toy.a/say"].status is Status.DONE
    assert ended(executor, step("print")).status is Status.DONE
    printed = (tmp_path / "logs/toy.a.print.out").read_text()
    assert sorted(printed.splitlines()) == ["printed by a child", "printed by the step"]


def test_a_step_marked_here_runs_in_this_process(docker):
    assert ended(docker(), step("noop", here=True)).facts["pid"] == os.getpid()


def test_a_container_may_do_nothing_but_its_step(docker):
    told = ended(docker(), step("confess", paths=["/", "/etc", "/tmp", str(engines.ROOT / "mlops")])).facts  # noqa: S108
    assert told["user"] == f"{os.getuid()}:{os.getgid()}"
    assert told["capabilities"] == 0
    assert told["no_new_privileges"] == "1"
    assert told["interfaces"] == ["lo"]
    assert told["refusals"] == dict.fromkeys(["/", "/etc", str(engines.ROOT / "mlops")], "Read-only file system")


def test_a_network_that_is_declared_for_a_step_is_there(docker):
    told = ended(docker(limits={"toy.a": {"network": "bridge"}}), step("confess", paths=[])).facts
    assert "eth0" in told["interfaces"]


def test_a_secret_reaches_the_step_and_shows_nowhere_on_the_engine(docker, engine):
    executor = docker()
    executor.submit(step("whisper"))
    while not any(isinstance(message, Checkpoint) for message in executor.wait(1.0)):
        pass
    client = engine.client()
    (row,) = containers(engine)
    shown = str(client.api.inspect_container(row["Id"])) + str(client.api.top(row["Id"], "aux"))
    client.close()
    assert "boxed_steps" in shown
    assert SECRET not in shown
    executor.acknowledge(Checkpoint("toy.a/whisper", {}))
    assert drain(executor)[-1].facts["length"] == len(SECRET)


def test_processors_that_were_asked_for_are_the_ones_that_the_step_has(docker):
    executor = docker(limits={"toy.*": {"cpus": 1}})
    executor.submit(step("look", "a", seconds=1))
    executor.submit(step("look", "b", seconds=1))
    cores = [outcome.facts["cores"] for outcome in drain(executor, 2) if isinstance(outcome, Outcome)]
    assert sorted(cores) == [[0], [1]]


def test_gpus_are_asked_of_the_engine_which_says_what_it_lacks(docker):
    failure = ended(docker(gpus=1, limits={"toy.*": {"gpus": 1}}), step("noop")).failure
    assert "no driver for GPUs" in failure.message
    assert "NVIDIA Container Toolkit" in failure.hint
    assert not failure.may_retry


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("fill", "needed more memory than it could have; its limit is 256 MiB"),
        ("spill", "needed more memory than it could have, and was killed; its limit is 256 MiB"),
    ],
)
def test_a_step_that_meets_its_limit_of_memory_says_so(docker, verb, said):
    executor = docker(limits={"toy.*": {"memory": "256MiB"}})
    failure = ended(executor, step(verb, bytes=600 << 20)).failure
    assert (failure.code, failure.message, failure.may_retry) == ("memory", said, False)
    assert "executor.limits" in failure.hint


def test_a_step_that_is_killed_or_takes_too_long_fails_as_with_the_local_executor(docker):
    executor = docker(limits={"toy.slow": {"timeout": 1.5}})
    executor.submit(step("die"))
    executor.submit(step("sleep", "slow", seconds=60))
    failures = {outcome.step: outcome.failure for outcome in drain(executor, 2) if isinstance(outcome, Outcome)}
    assert (failures["toy.a/die"].code, failures["toy.a/die"].may_retry) == ("killed", True)
    assert failures["toy.slow/sleep"].message == "took more than 1.5 s and was stopped"


def test_as_many_begin_as_there_are_workers_and_what_they_need_is_counted(docker):
    executor = docker(cpus=2, limits={"toy.wide": {"cpus": 2}})
    assert [one.id for one in executor.choose([step("noop", name) for name in ("a", "b", "c")])] == ["toy.a/noop", "toy.b/noop"]
    executor.submit(step("sleep", seconds=0.1))
    assert executor.choose([step("noop", "wide")]) == []
    drain(executor)
    assert [one.id for one in executor.choose([step("noop", "wide")])] == ["toy.wide/noop"]


def test_closing_kills_what_runs_and_leaves_no_container(docker, engine):
    executor = docker()
    executor.submit(step("sleep", seconds=60))
    while not containers(engine):
        time.sleep(0.05)
    started = time.monotonic()
    executor.close()
    assert time.monotonic() - started < 20
    assert containers(engine) == []


def test_an_image_without_our_interpreter_is_refused_with_the_engines_words(docker):
    executor = docker()
    executor._boxing = replace(executor._boxing, box=replace(executor._boxing.box, command=("python9", "-m", "mlops", "step")))
    failure = ended(executor, step("noop")).failure
    assert "python9" in failure.message
    assert not failure.may_retry


def test_a_killed_apply_takes_its_containers_with_it_and_the_next_one_removes_what_is_left(engine, tmp_path):
    program = textwrap.dedent(f"""
        import sys, pathlib
        sys.path[:0] = [{str(engines.ROOT / "tests/support")!r}, {str(engines.ROOT / "tests/executors")!r}]
        import engines, test_docker
        test_docker.OURS = {OURS!r}
        executor = test_docker.made(engines.Rig({engine.host!r}), pathlib.Path({str(tmp_path)!r}))
        executor.submit(test_docker.step("sleep", seconds=600))
        while not any(one["State"] == "running" for one in test_docker.containers(engines.Rig({engine.host!r}))):
            pass
        print("runs", flush=True)
        executor.wait(600)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "runs\n"
        killed.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while any(one["State"] == "running" for one in containers(engine)):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert len(containers(engine)) == 1
    DockerBoxes(engine.engine).sweep(OURS)
    assert containers(engine) == []


def test_an_engine_that_goes_away_in_the_middle_lets_the_step_be_tried_again(own_engine, tmp_path):
    rig = own_engine()
    executor = made(rig, tmp_path)
    executor.submit(step("sleep", seconds=60))
    while not any(one["State"] == "running" for one in containers(rig)):
        time.sleep(0.05)
    rig.kill()
    failure = drain(executor)[-1].failure
    assert (failure.code, failure.may_retry) == (Unavailable.code, True)
    assert ended(executor, step("noop")).failure.may_retry
    rig.start()
    assert ended(executor, step("noop")).status is Status.DONE
    executor.close()


# -- the wire ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Event("step-progress", step="toy.a/say", data={"message": "half\nway", "done": 0.5}),
        Checkpoint("toy.a/say", {"at": [1, {"more": None}]}),
        Outcome("toy.a/say", Status.DONE, {"out": "sha256:00"}, {"rows": 3}, 0.25),
        Outcome("toy.a/say", Status.FAILED, failure=Failure("world", "no", "do", None, may_retry=True)),
    ],
)
def test_what_a_step_says_comes_out_of_one_line_as_it_was(message):
    line = wire.from_message(message)
    assert line.count(b"\n") == 1
    assert wire.to_message(line) == message


def test_the_work_of_a_step_comes_out_of_one_line_as_it_was():
    work = wire.Work(PLACE, step("say", seconds=1.5), {"at": 1}, {"MLOPS_SECRET_A": "b"})
    assert wire.to_work(wire.from_work(work)) == work


def test_mlops_step_without_work_says_who_calls_it(capsys):
    assert speaking.speak(lambda *_: None, io.BytesIO(b"fish\n"), io.BytesIO()) == 2
    assert "executors call this" in capsys.readouterr().err
