"""The documentation is true: what it shows is run and compared, what it names exists, what is generated is up to date."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlops import kinds, schemas
from mlops.cli.commands import commands
from mlops.composing import compositions

import consoles
import shell

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CHANGELOG.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]

OVERRIDES = re.findall(r"^\| `(.*?)` \|", (ROOT / "docs/reference/overrides.md").read_text(), re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES)


@pytest.mark.skipif(not shutil.which("curl") and not os.environ.get("CI"), reason="curl is not installed")
def test_every_command_of_the_tutorial_prints_what_it_shows(tmp_path):
    console = consoles.Console(tmp_path, {"8080": str(shell.free_port()), "8081": str(shell.free_port())})
    try:
        for block in consoles.blocks((ROOT / "docs/tutorial.md").read_text()):
            console.run(block)
    finally:
        console.close()
    assert console.count > 20


def test_a_console_that_shows_something_else_is_found(tmp_path):
    console = consoles.Console(tmp_path, {})
    console.run(consoles.Block("console", "$ echo took 3.25 s\ntook 9.1 s\n$ false\n$ echo $?\n1\n"))
    with pytest.raises(AssertionError, match="shows"):
        console.run(consoles.Block("console", "$ echo 3 rows\n4 rows\n"))
    with pytest.raises(AssertionError, match="exit 1"):
        console.run(consoles.Block("console", "$ false\n"))


@every_page
def test_every_command_that_a_page_names_exists(page):
    for words in consoles.mlops_commands((ROOT / page).read_text()):
        names = [word for word in words if not word.startswith("-") and "/" not in word]
        name = next(iter(names), None)
        if name is None or name.isupper() or "…" in name:
            continue
        assert name in commands.commands, f"{page} names `mlops {name}`"
        command = commands.commands[name]
        if isinstance(command, click.Group) and len(names) > 1:
            assert names[1] in command.commands, f"{page} names `mlops {name} {names[1]}`"
            command = command.commands[names[1]]
        known = {option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts}
        unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - known - {"--version", "--help"}
        assert not unknown, f"{page} names {unknown} of `mlops {name}`"


@every_page
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^|\n)make ([a-z]+)", (ROOT / page).read_text())) <= targets


@every_page
def test_every_link_of_a_page_leads_somewhere(page):
    for path, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", (ROOT / page).read_text()):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page} links to {path}"
        assert not anchor or anchor in _anchors(target.read_text()), f"{page} links to {path}#{anchor}"


def _anchors(text):
    """Return what headings are linked by: lower case, without signs, with hyphens for blanks."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_plan_in_the_readme_is_the_program_s(tmp_path):
    """The picture is what the reference project prints once it was applied, here in a copy with servers of its own."""
    block = next(consoles.blocks((ROOT / "README.md").read_text()))
    command, _, shown = block.text.partition("\n")
    data = "examples/credit/data/credit.csv"
    (tmp_path / data).parent.mkdir(parents=True)
    shutil.copy(ROOT / data, tmp_path / data)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    project = shell.Shell(tmp_path, (f"target.port={shell.free_port()}",))
    try:
        project.apply()
        found = project.mlops(*command.removeprefix("$ mlops ").split()).out
    finally:
        project.mlops("destroy", "--yes")
    assert consoles.normal(found) == consoles.normal(shown)


def test_the_reference_is_what_is_generated():
    """`make docs` writes it anew."""
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    assert (ROOT / "docs/reference.md").read_text() == generate.text()


def test_every_field_that_a_user_may_write_is_described():
    for name, kind in kinds.load().items():
        schema = kind.Spec.model_json_schema()
        for model, part in {name: schema, **schema.get("$defs", {})}.items():
            for field, body in part.get("properties", {}).items():
                assert body.get("description") or field == "description", f"{model}.{field} has no description"
    settings = schemas.of_settings(kinds.load())
    for model, part in {"config": settings, **settings["$defs"]}.items():
        for field, body in part.get("properties", {}).items():
            assert body.get("description"), f"{model}.{field} has no description"


def test_every_command_of_the_recipes_prints_what_it_shows(tmp_path):
    """All files of the how-to together are one project."""
    page = (ROOT / "docs/how-to.md").read_text()
    consoles.lay_out(page, tmp_path)
    console = consoles.Console(tmp_path, {})
    for block in consoles.blocks(page):
        if block.language == "console":
            console.run(block)
    assert console.count > 10


@pytest.mark.parametrize("words", OVERRIDES)
def test_every_override_of_the_reference_is_taken(words, tmp_path):
    project = shell.copy_of("credit", tmp_path)
    project.edit("conf/config.yaml", "defaults: [", "defaults: [model: [credit], ")
    project.edit("conf/model/credit.yaml", "seed: 7", "seed: 7\nfeatures: [age]")
    shutil.copy(project.folder / "conf/model/credit.yaml", project.folder / "conf/model/big.yaml")
    shutil.copy(project.folder / "conf/test/data.yaml", project.folder / "conf/test/credit.yaml")
    if "~" in words:
        (project.folder / "conf/rollout/credit.yaml").unlink()
    compositions.compose(project.folder, shlex.split(words.replace("`, `", " ")), kinds.load())


def test_the_kind_of_the_recipes_is_found_and_makes_its_output(tmp_path):
    """The package is laid out with the metadata that an installed one has, and its kind is planned and applied."""
    consoles.lay_out((ROOT / "docs/how-to.md").read_text(), tmp_path / "site", prefix="example-kind/")
    info = tmp_path / "site/example_kind-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-kind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlops.kinds]\nprofile = mlops_profile\n")
    folder = tmp_path / "project"
    (folder / "conf/dataset").mkdir(parents=True)
    (folder / "conf/profile").mkdir()
    (folder / "conf/config.yaml").write_text("project: profiles\n")
    (folder / "conf/dataset/flowers.yaml").write_text("source: {bundled: iris}\n")
    (folder / "conf/profile/flowers.yaml").write_text("dataset: dataset.flowers\n")
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def mlops(*words):
        command = [sys.executable, "-m", "mlops", "-C", folder, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "+ profile.flowers" in mlops("plan")
    assert "profile.flowers describe … done" in mlops("apply", "--yes")
    assert "rows" in mlops("show", "profile.flowers")
    assert "nothing to do" in mlops("plan")
