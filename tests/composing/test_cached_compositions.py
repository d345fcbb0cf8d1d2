"""A composition is cached; whatever it was made of invalidates it, and only what depends on a change is compiled again."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import fields

import pytest
from msgspec import structs

from mlops.composing import caching
from mlops.core.diagnostics import Diagnostic, Severity
from mlops.core.errors import SpecError
from mlops.core.ops import Template
from mlops.core.resources import Resource
from mlops.core.worlds import Request


@pytest.fixture
def chained(project):
    """Ten things of which each is made from another, and one environment that changes one."""
    for index in range(5):
        project.write(f"things/t{index}", f"data: {index}\n")
        project.write(f"maker/m{index}", f"things: things.t{index}\nparams: {{depth: {index + 1}}}\n")
    project.write("env/prod", "# @package _global_\nmaker: {m0: {params: {depth: 20}}}\n")
    return project


def test_nothing_is_compiled_when_nothing_changed(chained):
    """The second composition compiles nothing and equals the first."""
    first = chained.compose()
    assert len(chained.compiled()) == 10
    second = chained.compose()
    assert chained.compiled() == []
    assert second.resources == first.resources
    assert second.settings == first.settings
    assert second.origins.of("maker.m0", "params.depth") == first.origins.of("maker.m0", "params.depth")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("things/t1", "data: 100\n"), ["maker.m1", "things.t1"]),  # and what refers to it
        (("maker/m2", "things: things.t2\nparams: {depth: 77}\n"), ["maker.m2"]),
        (("things/new", "data: 1\n"), ["things.new"]),
        (("target/local", "kind: other\n"), []),
        (("env/dev", "# @package _global_\nmaker: {m3: {params: {depth: 9}}}\n"), ["maker.m3"]),
    ],
)
def test_a_changed_file_compiles_what_depends_on_it(chained, change, expected):
    """One changed file among many compiles itself and what refers to it."""
    chained.compose()
    chained.compiled()
    chained.write(*change)
    found = chained.compose()
    assert chained.compiled() == expected
    assert chained.compose().resources == found.resources
    assert chained.compiled() == []


def test_what_interpolates_a_changed_file_is_compiled_again(chained):
    """A change goes through an interpolation, and through a chain of them."""
    chained.write("things/first", "data: ${things.t0.data}\n")
    chained.write("things/second", "data: ${things.first.data}\n")
    chained.compose()
    chained.compiled()
    chained.write("things/t0", "data: 50\n")
    assert chained.body("things.second")["data"] == 50
    assert chained.compiled() == ["maker.m0", "things.first", "things.second", "things.t0"]


def test_what_interpolates_settings_is_compiled_again(chained):
    """A free variable that changed reaches every file with an interpolation, and no other."""
    chained.write("things/free", "data: ${vars.depth}\n")
    chained.compose()
    chained.compiled()
    assert chained.body("things.free", "vars.depth=9")["data"] == 9
    assert chained.compiled() == ["things.free"]


def test_a_deleted_file_is_seen_by_those_that_refer_to_it(chained):
    """A reference to a deleted resource is an error although the file with the reference is unchanged."""
    chained.compose()
    (chained.root / "conf/things/t1.yaml").unlink()
    assert chained.problems() == ["conf/maker/m1.yaml:1:1: missing-resource: there is no things.t1 [did you mean 'things.t4'?]"]


def test_overrides_and_environments_are_cached_apart(chained):
    """Each set of overrides has its own result; taking over the rest compiles only what an override changes."""
    assert chained.body("maker.m0")["params"] == {"depth": 1}
    chained.compiled()
    assert chained.body("maker.m0", "env=prod")["params"] == {"depth": 20}
    assert chained.compiled() == ["maker.m0"]
    assert chained.body("maker.m0", "maker.m0.params.depth=3")["params"] == {"depth": 3}
    assert chained.body("maker.m0", "env=prod")["params"] == {"depth": 20}
    assert chained.compose("env=prod").settings.environment == "prod"


def test_a_variable_that_changed_invalidates(chained, monkeypatch):
    """What `oc.env` read is part of what was read."""
    chained.write("config", "defaults: [target: local, env: dev, _self_]\nallow: {env: [TOY]}\n")
    chained.write("things/t0", "data: ${oc.env:TOY,none}\n")
    assert chained.body("things.t0")["data"] == "none"
    monkeypatch.setenv("TOY", "one")
    assert chained.body("things.t0")["data"] == "one"
    chained.write("things/t1", "data: other\n")  # what is taken over from an older composition keeps its variables
    assert chained.body("things.t0")["data"] == "one"
    monkeypatch.setenv("TOY", "two")
    assert chained.body("things.t0")["data"] == "two"
    content = b"".join(file.read_bytes() for file in (chained.root / ".mlops/cache").iterdir())
    assert b"variable" not in content


def test_what_is_allowed_is_part_of_every_entry(chained):
    """A resource that needs a permission is checked again when the permission goes."""
    chained.write("config", "defaults: [target: local, env: dev, _self_]\nallow: {commands: true}\n")
    chained.write("maker/m0", "things: things.t0\ncommands: true\n")
    chained.compose()
    chained.write("config", "defaults: [target: local, env: dev, _self_]\n")
    assert chained.problems() == ["conf/maker/m0.yaml:2:1: commands: commands are not allowed [allow.commands]"]


def test_an_edit_of_equal_size_within_one_tick_of_the_clock_is_seen(chained):
    """A stamp that is not older than the hash proves nothing: the content is hashed again, as in git."""
    file = chained.root / "conf/things/t1.yaml"
    moment = caching.Cache(chained.root, (), chained.kinds)
    future = moment.moment() + 10**12
    os.utime(file, ns=(future, future))
    chained.compose()
    kept = caching.Cache(chained.root, (), chained.kinds).load()
    before = file.stat()
    file.write_text("data: 7\n")
    os.utime(file, ns=(future, future))
    kept.sources = [
        source._replace(changed=file.stat().st_ctime_ns) if source.option == "things/t1" else source for source in kept.sources
    ]
    caching.Cache(chained.root, (), chained.kinds).save(kept)  # as if both had happened within one tick: equal stamps
    after = file.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
    assert chained.body("things.t1")["data"] == 7


def test_a_touched_file_is_hashed_and_not_compiled(chained):
    """A new time stamp over the same bytes compiles nothing, and is believed the next time."""
    chained.compose()
    chained.compiled()
    os.utime(chained.root / "conf/things/t1.yaml", ns=(1, 1))
    chained.compose()
    assert chained.compiled() == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:100] + b"x" + data[101:], lambda _: b"", lambda data: b"x" + data]
)
def test_a_damaged_cache_is_composed_again(chained, damage):
    """Whatever is in the file, the result is right and nothing is said."""
    first = chained.compose()
    (file,) = (chained.root / ".mlops/cache").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert chained.compose().resources == first.resources
    assert len(chained.compiled()) == 20


def test_other_code_does_not_believe_the_cache(chained, monkeypatch):
    """Another version of mlops, of a kind's module or of a package composes again."""
    chained.compose()
    chained.compiled()
    monkeypatch.setattr(type(chained.kinds["maker"]), "revision", 2)
    chained.compose()
    assert len(chained.compiled()) == 10


def test_the_cache_holds_every_field_of_a_resource():
    """A field that is added to core's classes is added to the cache."""
    assert [field.name for field in fields(Template)] == list(caching.Step._fields)
    assert [field.name for field in fields(Request)] == ["door", "arguments", "field"]
    kept = {field.name for field in structs.fields(caching.Entry)} - {"key", "asked", "warnings"}
    assert {field.name for field in fields(Resource)} == kept


def test_a_warning_is_told_each_time_where_the_value_then_stands(chained, monkeypatch):
    """A warning stops nothing; it comes from the cache as from composing, also when a line above the value was added."""

    def check(_self, _spec, _find, _allow):
        yield Diagnostic("odd", "that is odd", path="params.depth", severity=Severity.WARNING)

    monkeypatch.setattr(type(chained.kinds["maker"]), "check", check)
    first = chained.compose()
    assert len(first.warnings) == 5
    assert str(first.warnings[0].origin) == "conf/maker/m0.yaml:2:10"
    assert chained.compose().warnings == first.warnings
    chained.write("maker/m0", "# a line more\nthings: things.t0\nparams: {depth: 1}\n")
    assert str(chained.compose().warnings[0].origin) == "conf/maker/m0.yaml:3:10"


def test_the_cache_may_be_impossible_to_write(chained):
    """Where `.mlops` cannot be a folder, composing works without a cache."""
    (chained.root / ".mlops").write_text("in the way")
    assert len(chained.compose().resources) == 10
    assert len(chained.compose().resources) == 10


def test_a_whole_number_that_the_cache_cannot_hold_is_no_problem(chained):
    """Numbers of any length are composed."""
    chained.write("things/t0", f"data: {10**30}\n")
    assert chained.body("things.t0")["data"] == 10**30
    assert chained.body("things.t0")["data"] == 10**30


def test_a_broken_project_is_not_cached(chained):
    """An error is told every time."""
    chained.write("maker/m0", "things: things.nope\n")
    with pytest.raises(SpecError):
        chained.compose()
    with pytest.raises(SpecError):
        chained.compose()


def test_only_few_compositions_are_kept(chained):
    """The cache does not grow with every override that was ever tried."""
    for depth in range(1, 12):
        chained.compose(f"maker.m0.params.depth={depth}")
    assert len(list((chained.root / ".mlops/cache").iterdir())) == 8


def test_work_grows_linearly(make_project, tmp_path, monkeypatch):
    """Three times the resources read, validate and compile three times as much, and Hydra merges no more files."""
    from mlops.composing import layering, reading

    counts = []
    for number in (20, 60):
        project = make_project(tmp_path / str(number))
        for index in range(number):
            project.write(f"things/t{index}", f"data: {index}\n")
        calls = {"parsed": 0, "merged": 0}

        def count(owner, name, key, calls=calls):
            real = getattr(owner, name)

            def counted(*args, **kwargs):
                calls[key] += 1
                return real(*args, **kwargs)

            monkeypatch.setattr(owner, name, counted)

        with monkeypatch.context() as patch:
            count(reading.Reader, "read", "parsed")
            count(layering.ConfigResult, "__init__", "merged")
            project.compose()
            patch.undo()
        monkeypatch.undo()
        counts.append((calls["parsed"], calls["merged"], len(project.compiled())))
    assert counts == [(23, 3, 20), (63, 3, 60)]


def test_a_cached_composition_imports_neither_hydra_nor_yaml(chained):
    """The no-op plan does not pay for them."""
    chained.compose()
    program = f"""
        import sys
        sys.path.insert(0, {str(chained.root)!r})
        from pathlib import Path
        from toy_kinds import KINDS
        from mlops.composing.compositions import compose
        compose(Path({str(chained.root)!r}), (), KINDS)
        print(sorted(set(sys.modules) & {{"hydra", "omegaconf", "yaml", "antlr4", "pandas", "sqlalchemy"}}))
    """
    chained.root.joinpath("toy_kinds.py").write_text(
        textwrap.dedent("""
            from mlops.core.resources import Kind
            from mlops.core.specs import Spec
            class Any(Spec):
                model_config = {"extra": "allow", "frozen": True}
            class Things(Kind):
                name = "things"
                Spec = Any
                def outputs(self, spec): return ()
                def steps(self, spec, address): return ()
            class Maker(Things):
                name = "maker"
            KINDS = {"maker": Maker(), "things": Things()}
        """)
    )
    run = [sys.executable, "-c", textwrap.dedent(program)]
    first, second = (subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout for _ in range(2))
    assert "hydra" in first
    assert second == "[]\n"
