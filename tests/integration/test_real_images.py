"""Images that the kind `container` makes, delivered on a real engine: the server, the model and the proxy are the real ones."""

from __future__ import annotations

import json

import pytest

from builds import new_project
from harbour import QUICK, Harbour, Load

WATCHED = {"error_rate": {"max": 0.01, "min_samples": 50}, "interval": 1}
STRATEGIES = {
    "rolling": {"rolling": QUICK},
    "blue_green": {"blue_green": {**QUICK, "steps": [{"weight": 100}, {"analyse": 2}], "analysis": WATCHED}},
    "canary": {"canary": {**QUICK, "steps": [{"weight": 30}, {"analyse": 3}], "analysis": WATCHED}},
}


@pytest.fixture(scope="module")
def yard(engine, tmp_path_factory):
    """Give a project that builds images, a rollout on the engine, and what its model is asked."""
    root = tmp_path_factory.mktemp("yard")
    project = new_project(root, engine.engine)
    harbour = Harbour(engine, root)
    harbour.world = lambda notes=None, allow=None: _with_artifacts(Harbour.world(harbour, notes, allow), project)
    project.build()
    folder = project.world.artifacts.folder(project.outputs["model.credit/artifact"])
    body = (folder / "input_example.json").read_bytes()
    yield project, harbour, body
    harbour.remove()


def _with_artifacts(world, project):
    world.__dict__["artifacts"] = project.world.artifacts
    return world


def test_no_request_fails_while_real_images_take_turns(yard):
    project, harbour, body = yard
    made = harbour.op(project.output("image"), rolling=QUICK).run(harbour.world())
    for number, (strategy, spec) in enumerate(STRATEGIES.items(), 1):
        project.fit(C=1.0 / (number + 1))
        project.build()
        before = made.facts["version"]
        with Load(harbour.address, body=body) as load:
            made = harbour.op(project.output("image"), **spec).run(harbour.world())
        assert [strategy, load.failures] == [strategy, []]
        assert {version for _, version in load.answers} == {before, made.facts["version"]}
        assert made.outputs["serving"] == project.outputs["model.credit/artifact"]
    assert json.loads(body)["inputs"]
    assert [one["serving"] == made.outputs["serving"] for one in made.facts["former"]] == [False, False, False]
