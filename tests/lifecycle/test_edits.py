"""A life of a project under fire: random edits, each applied, many of the applies killed; then all is as a fresh apply has it."""

from __future__ import annotations

import json
import random

import pytest

from firing import NAMES, SQLITE, Project, fire

VIGILS = ("v", "w")


class Life:
    """A program of naps and vigils that is edited at random: it stays one that can be planned."""

    def __init__(self, seed):
        self.chance = random.Random(seed)  # noqa: S311 - a seeded choice of edits
        self.naps: dict[str, dict] = {}  # a nap reads earlier names only, so there is no circle
        self.vigils: dict[str, str] = {}
        for _ in range(12):
            self.edit()

    def edit(self):
        """Change a value, what a nap or a vigil reads, or what there is."""
        self.chance.choice([self.put, self.put, self.repoint, self.drop, self.keep, self.leave])()

    def put(self):
        name = self.chance.choice(NAMES)
        self.naps[name] = {**self.naps.get(name, {}), "value": self.chance.randrange(40), "seconds": 0.02}

    def repoint(self):
        for name in self.chance.sample(NAMES[1:], 2):
            earlier = [one for one in NAMES[: NAMES.index(name)] if one in self.naps]
            if name in self.naps and earlier:
                self.naps[name]["after"] = f"nap.{self.chance.choice(earlier)}"

    def drop(self):
        read = {body.get("after") for body in self.naps.values()} | set(self.vigils.values())
        free = [name for name in self.naps if f"nap.{name}" not in read]
        if free:
            del self.naps[self.chance.choice(free)]

    def keep(self):
        if self.naps:
            self.vigils[self.chance.choice(VIGILS)] = f"nap.{self.chance.choice(sorted(self.naps))}"

    def leave(self):
        self.vigils.pop(self.chance.choice(VIGILS), None)

    def write(self, project):
        """Have the project's files say so."""
        for path in [*project.folder.glob("conf/nap/*"), *project.folder.glob("conf/vigil/*")]:
            path.unlink()
        for name, body in self.naps.items():
            project.nap(name, **body)
        for name, over in self.vigils.items():
            project.write(f"vigil/{name}", json.dumps({"over": over}))


def live(folder, url, seed, edits):
    """Edit and apply, in a row; two of three applies are killed, and are not made good before the next edit."""
    life, project, fresh = Life(seed), Project(folder / "fired", url), Project(folder / "fresh")
    for _ in range(edits):
        life.edit()
        life.write(project)
        if life.chance.random() < 2 / 3:
            fire(project, life.chance)
        else:
            project.run("apply", "--yes")
        project.read()
    project.converge()
    life.write(fresh)
    fresh.converge()
    assert (project.outputs(), project.held()) == (fresh.outputs(), fresh.held())


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    return SQLITE if request.param == "sqlite" else request.getfixturevalue("postgres_server").new(is_local=True)


def test_a_project_that_is_edited_under_fire_ends_as_a_fresh_apply_has_it(tmp_path, url):
    live(tmp_path, url, 0, 4)


@pytest.mark.soak
def test_two_hundred_edits_in_a_row_under_fire_end_as_a_fresh_apply_has_it(tmp_path, url):
    live(tmp_path, url, 1, 200)
