"""Images for real: made, proved and pushed by the kind's own steps, on a real engine and into a real registry."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import registries

from mlops.core.digests import canonical
from mlops.core.errors import Refused, Unavailable
from mlops.core.images import Trial
from mlops.core.worlds import Request
from mlops.kinds.container.assembling import LAYERS
from mlops.kinds.container.errors import ContainerError
from mlops.kinds.container.proving import Prove
from mlops.kinds.container.pushing import Push
from mlops.kinds.container.questions import questions

from builds import HOSTILE, LABEL, Project

TRIAL = "dev.mlops.trial"
EMPTY = ("mlops-test-container-empty", "1")


def proof_of(built, **changes):
    """Return the op that proves the image, with other fields."""
    fields = {
        "built": built.output("built"),
        "artifact": built.outputs["model.credit/artifact"],
        "holdout": built.outputs["model.credit/holdout"],
        "golden": 20,
        "name": "credit",
        "port": 8080,
        "budget": 250_000_000,
        "ready_timeout": 30.0,
        "engine": built.engine,
    }
    return Prove(**(fields | changes))


def diff_ids(project, output):
    folder = project.world.artifacts.folder(project.output(output))
    return json.loads((folder / "config.json").read_bytes())["rootfs"]["diff_ids"]


def trial_of(built):
    asked = questions(built.world.artifacts.folder(built.outputs["model.credit/artifact"]), None).asked
    return Trial(8080, "credit", 30.0, tuple(each.body for each in asked))


def test_an_image_is_proved_within_its_budget(built):
    proof = json.loads(built.world.artifacts.read_bytes(built.output("proof")))
    assert proof["rows"] == 21  # the input example and 20 held-out rows
    assert proof["tolerance"] == 0  # ONNX Runtime answers bit for bit
    assert 0 < proof["size"] <= 250_000_000
    assert 0 < proof["ready_seconds"] < 30
    assert built.output("image") == built.output("built")


def test_the_id_is_the_hash_of_the_configuration_as_the_engine_says_too(built, client):
    folder = built.world.artifacts.folder(built.output("image"))
    assert built.facts["id"] == "sha256:" + hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert client.images.get(built.facts["id"]).id == built.facts["id"]
    layers = client.images.get(built.facts["id"]).attrs["RootFS"]["Layers"]
    assert layers[-3:] == ["sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in LAYERS]


def test_equal_inputs_give_an_equal_image_in_another_folder_at_another_time(built, beside):
    mask = os.umask(0o077)
    try:
        beside.build()
    finally:
        os.umask(mask)
    names = ("base", "lock", "packages", "server", "built", "dockerfile", "sbom", "image")
    assert {name: beside.output(name) for name in names} == {name: built.output(name) for name in names}


def test_a_changed_model_needs_the_same_and_changes_no_layer_but_its_own(built):
    built.fit("other", C=0.01)
    other = Project(built.world, built.engine, dict(built.outputs))
    other.build("need", "assemble", model="model.other")
    assert other.output("needs") == built.output("needs")
    before, after = (diff_ids(each, "built") for each in (built, other))
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_it_runs_as_nobody_with_a_disk_that_cannot_be_written_and_is_healthy_when_it_is_ready(built, client):
    how = {"network_mode": "none", "read_only": True, "cap_drop": ["ALL"], "detach": True}
    container = client.containers.run(built.facts["id"], **how)
    try:
        test = client.images.get(built.facts["id"]).attrs["Config"]["Healthcheck"]["Test"]
        assert test[0] == "CMD"
        until = time.monotonic() + 30
        while container.exec_run(test[1:]).exit_code != 0:
            assert time.monotonic() < until, container.logs().decode()
        assert container.exec_run(["id", "-u"]).output.strip() == b"65532"
        assert b"Read-only" in container.exec_run(["touch", "/models/x"]).output
        assert container.exec_run([*test[1:-1], "8081"]).exit_code == 1
    finally:
        container.remove(force=True)


def test_the_dockerfile_makes_an_image_of_the_same_files_that_answers_the_same_and_hostile_labels_are_labels(built, client):
    folder = built.world.artifacts.folder(built.output("image"))
    other, _ = client.images.build(path=str(folder), rm=True, forcerm=True)
    ours = client.images.get(built.facts["id"]).attrs["Config"]
    assert set(ours["Env"]) <= set(other.attrs["Config"]["Env"])  # a builder adds the PATH that every container has
    for name in ("User", "Entrypoint", "Cmd", "Healthcheck", "Labels", "ExposedPorts", "WorkingDir"):
        assert other.attrs["Config"][name] == ours[name]
    assert ours["Labels"][LABEL] == HOSTILE
    proved = [built.world.images.prove(built.engine, image, trial_of(built)).answers for image in (built.facts["id"], other.id)]
    assert proved[0] == proved[1]


def test_an_engine_that_wants_whole_images_gets_them(built, client, tmp_path):
    """The layers of the base are exported and sent, too: what an engine gets that knows none of them."""
    from mlops.world import images

    folder = built.world.artifacts.folder(built.output("image"))
    document = json.loads((folder / "config.json").read_bytes())
    *_, whole = images._sendings(client, folder, document, tmp_path)
    assert len(whole) == 2 + len(document["rootfs"]["diff_ids"])
    [loaded] = client.images.load(images._archive(whole))
    assert loaded.id == built.facts["id"]


def test_an_image_that_answers_otherwise_is_refused_by_its_rows_and_does_not_stay(built, client):
    built.fit("other", C=0.0001)
    with pytest.raises(
        ContainerError, match=r"answers otherwise than the model in \d+ places:\n  the input example, row 0: predict_proba"
    ):
        proof_of(built, artifact=built.outputs["model.other/artifact"]).run(built.world)
    assert not [each for each in client.containers.list(all=True, filters={"label": [TRIAL]}) if "credit" in str(each.image.tags)]
    proof_of(built).run(built.world)  # for those who come after: it is loaded again


def test_an_image_over_its_budget_is_refused_before_anything_is_started(built):
    with pytest.raises(
        ContainerError, match=r"adds 1\d\d\.\d MB to its base, and its budget is 1\.0 MB: packages 1\d\d\.\d MB, server"
    ):
        proof_of(built, budget=1_000_000).run(built.world)


def test_an_image_that_does_not_get_ready_tells_what_it_wrote(built):
    with pytest.raises(Refused, match=r'(?s)not ready within 0\.5 s; it wrote:.*"event": "ready"'):
        built.world.images.prove(built.engine, built.facts["id"], Trial(8081, "credit", 0.5, ()))


def test_a_killed_proof_leaves_nothing_once_the_next_one_has_run(built, client):
    program = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from mlops.core.settings import Engine\nfrom mlops.core.images import Trial\nfrom mlops.world.images import EngineImages\n"
        "EngineImages().prove(Engine.model_validate_json(sys.argv[1]), sys.argv[2], Trial(8081, 'credit', 60.0, ()))\n"
    )
    words = [sys.executable, "-c", program, built.engine.model_dump_json(), built.facts["id"], str(Path(__file__).parents[3])]
    process = subprocess.Popen(words)
    mine = {"label": [TRIAL], "ancestor": built.facts["id"]}
    until = time.monotonic() + 30
    while not client.containers.list(filters=mine):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert client.containers.list(filters=mine)
    built.world.images.prove(built.engine, built.facts["id"], trial_of(built))
    assert not client.containers.list(all=True, filters=mine)


def test_a_name_that_another_image_has_is_left_to_it(built, client):
    client.images.get("mlops-test-base:local").tag("mlops-test-container-taken", "1")
    try:
        with pytest.raises(Refused, match="the name mlops-test-container-taken:1 is in use by an image that mlops did not make"):
            built.world.images.tag(built.engine, built.facts["id"], "mlops-test-container-taken:1")
    finally:
        client.images.remove("mlops-test-container-taken:1")


# -- registries --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(built, client, tmp_path):
    """Give an image of a few kilobytes over an empty base: an engine packs all that it pushes."""
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    client.api.import_image(str(tmp_path / "empty.tar"), repository=EMPTY[0], tag=EMPTY[1])
    attrs = client.images.get(":".join(EMPTY)).attrs
    base = json.loads(built.world.artifacts.read_bytes(built.output("base")))
    base |= {"name": ":".join(EMPTY), "digest": attrs["Id"], "layers": attrs["RootFS"]["Layers"]}
    tar = built.world.artifacts.put_file(tmp_path / "empty.tar")
    kept = {f"container.credit/{name}": tar for name in ("packages", "server")}
    kept["container.credit/base"] = built.world.artifacts.put_bytes(canonical(base))
    project = Project(built.world, built.engine, built.outputs | kept)
    project.build("assemble")
    return project


def push_of(small, repository, username=None):
    auth = {"username": username, "secret": "registry-password"} if username else None
    return Push(image=small.output("built"), registry={"repository": repository, "auth": auth}, engine=small.engine)


def test_a_push_is_known_to_the_registry_by_the_digest_that_is_recorded(small, engine, tmp_path):
    with registries.running(engine, tmp_path) as registry:
        repository = f"{registry.host}/team/credit"
        made = push_of(small, repository).run(small.world)
        reference = json.loads(small.world.artifacts.read_bytes(made.outputs["pushed"]))["reference"]
        assert reference == f"{repository}@{registry.digest(repository, small.facts['id'][7:19])}"


def test_a_base_that_the_engine_lacks_is_seen_and_pulled_by_its_digest(small, engine, client, tmp_path):
    with registries.running(engine, tmp_path) as registry:
        name = f"{registry.host}/base"
        client.images.get(":".join(EMPTY)).tag(name, "1")
        client.images.push(name, "1")
        digest = registry.digest(name, "1")
        client.images.remove(f"{name}:1")
        client.images.remove(":".join(EMPTY), force=True)
        [seen] = small.world.observe([Request("image", {"name": f"{name}:1", "engine": small.engine.model_dump(mode="json")})])
        assert seen.value == digest
        with pytest.raises(Refused, match="has no Python that runs"):  # it is there by then, and empty
            small.world.images.look(small.engine, f"{name}:1@{digest}")
        assert client.images.get(f"{name}@{digest}").attrs["RootFS"]["Layers"] == diff_ids(small, "built")[:1]
        client.images.remove(f"{name}@{digest}")


def test_a_registry_that_wants_other_credentials_says_so(small, engine, tmp_path, monkeypatch):
    with registries.running(engine, tmp_path, is_closed=True) as registry:
        repository = f"{registry.host}/credit"
        with pytest.raises(Refused, match=f"the registry refuses {repository}") as without:
            push_of(small, repository).run(small.world)
        assert "say who asks" in without.value.hint
        monkeypatch.setenv("MLOPS_SECRET_REGISTRY_PASSWORD", "wrong")
        with pytest.raises(Refused, match=f"the registry refuses {repository}") as wrong:
            push_of(small, repository, registries.USER).run(small.world)
        assert "check the user and the secret" in wrong.value.hint
        monkeypatch.setenv("MLOPS_SECRET_REGISTRY_PASSWORD", registries.PASSWORD)
        made = push_of(small, repository, registries.USER).run(small.world)
        assert made.facts["reference"].startswith(f"{repository}@sha256:")
        monkeypatch.delenv("MLOPS_SECRET_REGISTRY_PASSWORD")
        with pytest.raises(Refused, match="there is no secret 'registry-password'"):
            push_of(small, repository, registries.USER).run(small.world)


def test_a_registry_that_is_not_there_may_come_back(small):
    with pytest.raises(Unavailable, match=r"the registry of 127\.0\.0\.1:9/credit does not answer"):
        push_of(small, "127.0.0.1:9/credit").run(small.world)


# -- what is inside ----------------------------------------------------------------------------------------------------------


def test_the_bill_names_every_wheel_by_its_hash_the_model_the_base_and_its_packages(built, client):
    bill = json.loads(built.world.artifacts.read_bytes(built.output("sbom")))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {each["bom-ref"]: each for each in bill["components"]}
    for line in built.world.artifacts.read_bytes(built.output("lock")).decode().splitlines():
        requirement, _, digest = line.partition(" --hash=sha256:")
        assert listed[f"pkg:pypi/{requirement.replace('==', '@')}"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert listed["model"]["type"] == "machine-learning-model"
    assert listed["model"]["hashes"][0]["content"] == built.outputs["model.credit/artifact"][7:]
    said = client.containers.run("mlops-test-base:local", ["dpkg-query", "-W", "-f", "${Package} ${Version}\n"], remove=True)
    debian = {(each["name"], each["version"]) for ref, each in listed.items() if ref.startswith("pkg:deb/debian/")}
    assert debian == {tuple(line.split()) for line in said.decode().splitlines()}
