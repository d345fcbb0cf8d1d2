"""Images that the kind `container` makes, delivered on a real engine: the server, the model and the proxy are the real ones."""

from __future__ import annotations

import pytest

from mlops.core.addresses import Address
from mlops.core.ops import bind
from mlops.kinds.container import Container

from builds import new_project
from harbour import QUICK, Harbour, Load, Notes
from stands import GREEN


@pytest.fixture(scope="module")
def yard(engine, tmp_path_factory):
    """Give a project that builds images, a rollout on the engine, and what its model is asked."""
    root = tmp_path_factory.mktemp("yard")
    project = new_project(root, engine.engine)
    harbour = Harbour(engine, root)
    project.build()
    folder = project.world.artifacts.folder(project.outputs["model.credit/artifact"])
    yield project, harbour, (folder / "input_example.json").read_bytes()
    harbour.remove()


def rebuild(project, **params):
    """Train another model and put it into an image, by the steps that apply would run: the packages stay."""
    project.fit(**params)
    for step in Container().steps(project.spec(), Address("container.credit")):
        if step.name in ("assemble", "prove"):
            values = {read: project.outputs[read.partition(":")[2]] for read in step.reads}
            op = next(op for op in Container.ops if op.verb == step.verb)
            made = op.model_validate(bind(step.op, values)).run(project.world)
            project.outputs.update({f"container.credit/{name}": digest for name, digest in made.outputs.items()})


def test_no_request_fails_while_real_images_take_turns(yard):
    """By each strategy once, under four clients; the version header proves the weight that the canary asks for."""
    project, harbour, body = yard
    made = harbour.op(project.output("image"), rolling=QUICK).run(harbour.world())
    for number, strategy in enumerate(("rolling", "blue_green", "canary")):
        rebuild(project, C=1.0 / (number + 2))
        before = made.facts["version"]
        notes = Notes()
        with Load(harbour.address, body=body) as load:
            made = harbour.op(project.output("image"), **GREEN[strategy]).run(harbour.world(notes))
        version = made.facts["version"]
        assert [strategy, load.failures] == [strategy, []]
        assert set(load.counts()) == {before, version}
        assert harbour.versions() == [version, version]
        assert made.outputs["serving"] == project.outputs["model.credit/artifact"]
        assert made.facts["former"][0]["version"] == before
    since, until = notes.when("pause"), notes.when("the switch")
    assert load.counts(since, until).total() >= 4000
    assert abs(load.share(version, since, until) - 25) <= 2
