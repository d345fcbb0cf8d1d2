"""Whatever is wrong with a project is told with its place and what to do, all of it at once."""

from __future__ import annotations

import pytest

from mlops.core.errors import CycleError

GOOD = "data: 1\n"


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        (
            "maker/a",
            "things: things.t\nprams: {depth: 3}\n",
            "conf/maker/a.yaml:2:1: unknown-field: unknown field 'prams' [did you mean 'params'?]",
        ),
        (
            "maker/a",
            "things: things.t\nparams:\n  depht: 3\n",
            "conf/maker/a.yaml:3:3: unknown-field: unknown field 'depht' [did you mean 'depth'?]",
        ),
        (
            "things/a",
            "columns:\n  age: {type: int, vals: [x]}\n",
            "conf/things/a.yaml:2:20: unknown-field: unknown field 'vals' [did you mean 'values'?]",
        ),
        (
            "maker/a",
            "things: things.t\nparams:\n  depth: deep\n",
            'conf/maker/a.yaml:3:3: type: expected a whole number, got "deep"',
        ),
        (
            "maker/a",
            "things: things.t\nparams: {depth: 0}\n",
            "conf/maker/a.yaml:2:10: value: expected 1 or more, got 0",
        ),
        ("maker/a", "things: things.t\nparams: [1]\n", "conf/maker/a.yaml:2:1: type: expected a mapping of fields, got [1]"),
        ("maker/a", "params: {depth: 3}\n", "conf/maker/a.yaml:1:1: missing-field: the field 'things' is missing [add things]"),
        ("things/a", "columns: {age: {}}\n", "conf/things/a.yaml:1:11: missing-field: the field 'type' is missing [add type]"),
        ("things/a", "source: {path: x, rows: many}\n", None),
        ("things/a", "source: 7\n", "conf/things/a.yaml:1:1: type: expected a mapping of fields, got 7"),
        (
            "maker/a",
            "things: things.tt\n",
            "conf/maker/a.yaml:1:1: missing-resource: there is no things.tt [did you mean 'things.t'?]",
        ),
        (
            "maker/a",
            "things: maker.t\n",
            "conf/maker/a.yaml:1:1: wrong-kind: 'maker.t' is a maker: this field takes a things [did you mean 'things.t'?]",
        ),
        (
            "maker/a",
            "things: things.t\nalso: [things.t, maker.a]\n",
            "conf/maker/a.yaml:2:18: wrong-kind: 'maker.a' is a maker: this field takes a things [known: things.e, things.t]",
        ),
        (
            "maker/a",
            "things: things.t/tabel\n",
            "conf/maker/a.yaml:1:1: missing-output: things.t has no output 'tabel' [did you mean 'table'? outputs: table]",
        ),
        (
            "maker/a",
            "things: t\n",
            "conf/maker/a.yaml:1:1: value: 't' is no reference: write kind.name or kind.name/output, for example dataset.credit/train",
        ),
        ("maker/a", "things: things.e\n", "conf/maker/a.yaml:1:1: empty: things.e is empty"),
        (
            "things/a",
            "columns:\n  h: {type: c, values: [yes, n]}\n",
            (
                "conf/things/a.yaml:2:25: yaml-boolean: YAML reads yes as the boolean true, not as text "
                '[write "yes" with quotes for the text, or true for the boolean]'
            ),
        ),
        ("things/a", "data: ???\n", "conf/things/a.yaml:1:1: missing-value: a value must be given here: ??? stands for none"),
        (
            "things/a",
            "data: ${vars.dept}\n",
            "conf/things/a.yaml:1:1: interpolation: '${vars.dept}': there is no 'vars.dept' [did you mean 'depth'?]",
        ),
        (
            "things/a",
            "data:\n- ${things.tt.data}\n",
            "conf/things/a.yaml:2:3: interpolation: '${things.tt.data}': there is no 'things.tt.data' [did you mean 't'?]",
        ),
        ("things/a", "data: {x: '${.x}'}\n", "conf/things/a.yaml:1:8: interpolation: '${.x}' leads back to itself"),
        (
            "things/a",
            "data: ${oc.env:HOME}\n",
            (
                "conf/things/a.yaml:1:1: env: oc.env may not read HOME: conf/config.yaml does not allow it "
                "[add it to conf/config.yaml: allow: {env: [HOME]}]"
            ),
        ),
        (
            "things/a",
            "data: ${now:%Y}\n",
            (
                "conf/things/a.yaml:1:1: interpolation: '${now:%Y}': there is no such resolver "
                "[resolvers are oc.create, oc.decode, oc.deprecated, oc.dict.keys, oc.dict.values, oc.select, oc.env]"
            ),
        ),
        ("things/a", "data: ${vars.\n", None),
        ("things/a", "data: .nan\n", "conf/things/a.yaml:1:1: value: NaN and infinities are no values for a spec"),
        ("things/a", "- 1\n", "conf/things/a.yaml:1:1: type: the file must hold a mapping of fields"),
        (
            "modle/a",
            GOOD,
            "conf/modle: unknown-kind: unknown kind 'modle' [kinds and settings groups: env, executor, maker, store, target, things]",
        ),
        ("thing/a", GOOD, "conf/thing: unknown-kind: unknown kind 'thing' [did you mean 'things'?]"),
        (
            "things/sub/a",
            GOOD,
            (
                "conf/things/sub: subfolder: conf/things/sub is a folder: resources and options have no subfolders "
                "[move its files to conf/things/]"
            ),
        ),
        (
            "things/Bad_name",
            GOOD,
            (
                "conf/things/Bad_name.yaml: name: 'Bad_name' cannot name a resource "
                "[use lower-case letters, digits and single hyphens, beginning with a letter, at most 40 characters]"
            ),
        ),
        (
            "config",
            "maker: ${vars.x}\nvars: {x: {}}\n",
            'conf/config.yaml:1:1: type: expected resources by name, got "${vars.x}"',
        ),
        ("config", "projekt: x\n", "conf/config.yaml:1:1: unknown-key: unknown key 'projekt' [did you mean 'project'?]"),
        ("config", "project: Not A Name\n", None),
        (
            "config",
            "defaults: [target: loca, _self_]\n",
            "conf/config.yaml:1:12: unknown-option: there is no conf/target/loca.yaml [did you mean 'local'?]",
        ),
        ("config", "defaults: {target: local}\n", None),
        (
            "things/a",
            "defaults: [a]\n",
            "conf/config.yaml:1:1: defaults: defaults lists lead back to themselves [look for a file that includes itself]",
        ),
        (
            "env/dev",
            "# @package _global_\nallow: {pickle: true}\n",
            "conf/env/dev.yaml:2:1: allow: `allow` can be set only by conf/config.yaml itself [move it to conf/config.yaml]",
        ),
        (
            "env/dev",
            "# @package _global_\npolicies: [a:b]\n",
            "conf/env/dev.yaml:2:1: policies: `policies` can be set only by conf/config.yaml itself [move it to conf/config.yaml]",
        ),
        (
            "config",
            "policies: [a.b]\n",
            "conf/config.yaml:1:12: value: 'a.b' is no policy: write module:function for a function in src/, or the path of a .rego file",
        ),
        (
            "config",
            "allow: {pickel: true}\n",
            "conf/config.yaml:1:9: unknown-field: unknown field 'pickel' [did you mean 'pickle'?]",
        ),
        ("config", "store: {url: 3}\n", "conf/config.yaml:1:9: type: expected text, got 3"),
        (
            "config",
            "defaults: [store: pg, _self_]\n",
            "conf/config.yaml:1:12: unknown-option: there is no conf/store/pg.yaml [groups: env, maker, target, things]",
        ),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(project, option, text, expected):
    """Each mistake gives this one diagnostic; None where only the place is checked."""
    project.write("things/t", GOOD)
    project.write("things/e", "data: empty\n")
    project.write("maker/t", "things: things.t\n")
    project.write(option, text)
    problems = project.problems()
    assert len(problems) == 1, problems
    if expected is None:
        assert problems[0].startswith((f"conf/{option}.yaml:1:",)), problems
    else:
        assert problems == [expected]


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("maker.a.params.dept=3", "needs-plus", "did you mean 'depth'? to add a new field write +maker.a.params.dept=3"),
        ("maker.b.params.depth=3", "unknown-resource", "there is no maker.b [known of maker: a]"),
        ("makr.a.params.depth=3", "unknown-key", "there is no 'makr' [did you mean 'maker'?]"),
        ("env=prdo", "unknown-option", "'env' has no option 'prdo' [did you mean 'prod'?]"),
        ("target@other=local", "override", "target@other"),
        ("maker@maker.a=big", "unknown-option", "'maker' has no option 'big' [options: a]"),
        ("store=pg", "unknown-option", "there is no folder conf/store [write conf/store/pg.yaml]"),
        ("maker=a", "override", "'maker' chooses nothing"),
        ("nogroup@maker.a=b", "unknown-key", "there is no 'nogroup'"),
        ("maker.a.params.depth=1,2", "sweep", "for a list write key=[1,2]"),
        ("maker.a.params.depth=range(1,3)", "sweep", "sweep"),
        ("allow.pickle=true", "allow", "`allow` can be set only by conf/config.yaml itself"),
        ("+allow={pickle: true}", "allow", "`allow` can be set only by conf/config.yaml itself"),
        ("policies=[]", "policies", "`policies` can be set only by conf/config.yaml itself"),
        ("~policies", "policies", "`policies` can be set only by conf/config.yaml itself"),
        ("hydra.run.dir=x", "unknown-key", "there is no 'hydra'"),
        ("maker.a.params.depth=[1", "override", "cannot be read"),
        ("", "override", "cannot be read"),
        ("~maker.a.params.rate", "override", "'maker.a.params.rate' is not in the configuration, so it cannot be deleted"),
        ("+maker.a.params.depth=4", "override", "there already [write maker.a.params.depth=4 to change it"),
        ("+extra.key=1", "unknown-key", "unknown key 'extra'"),
        ("maker.a.params.depth=deep", "type", 'got "deep"'),
        ("maker.a.things=things.x", "missing-resource", "there is no things.x [did you mean 'things.t'?]"),
        ("maker.a.params=${vars.nope}", "interpolation", "there is no 'vars.nope'"),
        ("+things.Bad_Name.data=1", "name", "'Bad_Name' cannot name a resource"),
        ("+maker.new=5", "type", "expected a mapping of fields, got 5"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(project, override, code, words):
    """The origin is the command line's word as it was written."""
    project.write("things/t", GOOD)
    project.write("maker/a", "things: things.t\nparams: {depth: 3}\n")
    project.write("env/prod", "# @package _global_\n")
    problems = project.problems(override)
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"command line: {override}: {code}: ")
    assert words in problems[0]


def test_all_problems_of_all_files_are_told_at_once_in_order(project):
    """Overrides come first, as they were written, then files by name and line; a broken file is not reported as missing by those that refer to it."""
    project.write("things/t", "data: [1\n")
    project.write("things/u", "dat: 1\ncolums: {}\n")
    project.write("maker/a", "things: things.t\nparams: {depth: x}\n")
    project.write("maker/b", "things: things.u\nalso: [things.v]\n")
    assert [line.split(": ")[0:2] for line in project.problems("maker.a.nope=1", "a=1,2")] == [
        ["command line", "maker.a.nope=1"],
        ["command line", "a=1,2"],
        ["conf/maker/a.yaml:2:10", "type"],
        ["conf/maker/b.yaml:2:8", "missing-resource"],
        ["conf/things/t.yaml:2:1", "yaml"],
        ["conf/things/u.yaml:1:1", "unknown-field"],
        ["conf/things/u.yaml:2:1", "unknown-field"],
    ]


def test_settings_that_cannot_be_composed_do_not_hide_problems_of_resources(project):
    """A wrong defaults list is told along with the mistakes in resource files."""
    project.write("config", "defaults: [target: loca, _self_]\n")
    project.write("things/t", "dat: 1\n")
    project.write("things/open", "data: ${vars.x}\n")
    assert [line.split(": ")[0:2] for line in project.problems()] == [
        ["conf/config.yaml:1:12", "unknown-option"],
        ["conf/things/t.yaml:1:1", "unknown-field"],
    ]


def test_a_circle_of_references_is_told_as_addresses(project):
    """Resources that wait for each other are a CycleError that names them in order."""
    project.write("things/a", "like: maker.b\n")
    project.write("maker/b", "things: things.a\n")
    with pytest.raises(CycleError) as caught:
        project.compose()
    assert caught.value.message in (
        "resources refer to each other in a circle: things.a → maker.b → things.a",
        "resources refer to each other in a circle: maker.b → things.a → maker.b",
    )


def test_a_baseline_makes_no_circle(project):
    """What a resource only compares itself with need not be done before it."""
    project.write("things/a", GOOD)
    project.write("maker/b", "things: things.a\nagainst: maker.b\n")
    assert project.body("maker.b")["against"] == "maker.b"


def test_a_folder_without_a_project_says_how_to_begin(project):
    """Without conf/config.yaml there is one diagnostic."""
    (project.root / "conf/config.yaml").unlink()
    assert project.problems() == ["conf/config.yaml: no-project: there is no conf/config.yaml [`mlops init` writes one]"]


def test_a_file_that_is_no_utf_8_is_told(project):
    """The place of the first wrong byte is named."""
    project.write("things/a", GOOD).write_bytes(b"data: 1\nx: \xff\n")
    assert project.problems() == ["conf/things/a.yaml:2:4: encoding: the file is not UTF-8 text [save it as UTF-8]"]


def test_a_file_that_cannot_be_read_is_told(project):
    """A dangling link is a diagnostic with the system's reason."""
    (project.root / "conf/things").mkdir()
    (project.root / "conf/things/a.yaml").symlink_to("nowhere")
    assert project.problems() == [
        "conf/things/a.yaml: unreadable: the file cannot be read: No such file or directory [mend the link, or remove it]"
    ]


def test_a_yml_file_is_not_silently_left_out(project):
    """The other ending is told."""
    (project.root / "conf/things").mkdir()
    (project.root / "conf/things/a.yml").write_text(GOOD)
    assert project.problems() == [
        "conf/things/a.yml: file-name: conf/things/a.yml is not read: names of files end in .yaml [rename it to a.yaml]"
    ]
