"""The commands: each opens the project, asks it for one thing, and prints what rendering makes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.arguments import Arguments, address, known, suggest
from mlops.cli.sessions import Session, complain, look, say

if TYPE_CHECKING:
    from mlops.core.plans import Plan
    from mlops.project import Project

CHANGES = 2  # exit code of `plan --check` where something would change
INTERRUPTED = 130  # exit code after Ctrl-C


def _set_machine(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's form
    context.ensure_object(Session).machine = value


words_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS | override=value]...")
one_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS] [override=value]...")
overrides_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[override=value]...")
folder_type = click.Path(path_type=Path, file_okay=False)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask before applying.")
replace_option = click.option("--replace", multiple=True, metavar="ADDRESS", help="Make this anew though nothing changed.")
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_set_machine, help="Print JSON, one object a line."
)


class _InOrder(click.Group):
    """Lists the commands as they stand here, by how often they are needed, and not by their letters."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(name="mlops", cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "--project", "folder", type=folder_type, default=".", help="Folder of the project.")
@click.version_option(package_name="mlops", message="%(prog)s %(version)s")
@click.pass_obj
def commands(session: Session, folder: Path) -> None:
    """Plan and apply datasets, models, tests and rollouts that YAML describes.

    Edit conf/<kind>/<name>.yaml, read what `mlops plan` says, then `mlops apply`.
    """
    session.folder = folder


@commands.command()
@words_argument
@click.pass_obj
def validate(session: Session, /, words: tuple[str, ...]) -> None:
    """Check the configuration; every problem is shown."""
    from mlops.rendering import diagnostics

    with session.project(Arguments.without_plan(words).overrides) as project:
        say(diagnostics.closing(len(project.composition.resources)))


@commands.command()
@words_argument
@replace_option
@click.option("--destroy", is_flag=True, help="Plan to remove what is recorded.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan to this .json file.")
@click.option("--check", is_flag=True, help="Leave with exit code 2 where something would change.")
@click.option("--json", "form", flag_value="json", help="Print the plan as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print markdown, for a pull request.")
@click.pass_obj
def plan(
    session: Session, /, words: tuple[str, ...], replace: tuple[str, ...], out: Path | None, form: str | None, **flags: bool
) -> int:
    """Show what would change, and why.

    ADDRESS (model.credit) plans only this and what it needs. override=value (model.credit.seed=8, env=prod)
    changes the configuration for this plan, in Hydra's grammar. Nothing is done.
    """
    from mlops.rendering import machine, markdown

    session.machine = form == "json"
    if out is not None and out.suffix != ".json":
        message = f"--out {out}: the name of a plan ends in .json, so that `mlops apply` knows it"
        raise click.UsageError(message)
    arguments = Arguments.without_plan(words)
    with session.project(arguments.overrides) as project:
        made = _plan(project, arguments, replace, destroy=flags["destroy"])
    if out is not None:
        _write(out, machine.plan(made) + "\n")
        complain(f"written to {out}; apply it with: mlops apply {out}")
    say({"json": machine.plan, "markdown": markdown.plan}.get(form or "", _text)(made))
    return CHANGES if flags["check"] and made.changes else 0


@commands.command()
@click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS | override=value | plan.json]...")
@replace_option
@yes_option
@json_option
@click.pass_obj
def apply(session: Session, /, words: tuple[str, ...], replace: tuple[str, ...], **flags: bool) -> int:
    """Do what a plan says.

    The plan is made now, shown and asked about; or it is read from a file that `mlops plan --out` wrote.
    """
    arguments = Arguments.sort(words)
    if arguments.plan is None:
        with session.project(arguments.overrides) as project:
            return _apply(session, project, _plan(project, arguments, replace), **flags)
    if replace:
        message = f"--replace: {arguments.plan} is a finished plan; give it to `mlops plan --out`"
        raise click.UsageError(message)
    saved = _read(arguments.plan)
    with session.project(saved.settings.get("overrides", ())) as project:
        return _apply(session, project, saved, **flags)


@commands.command()
@words_argument
@yes_option
@json_option
@click.pass_obj
def destroy(session: Session, /, words: tuple[str, ...], **flags: bool) -> int:
    """Stop what runs and forget what is recorded.

    With ADDRESS only these, and what cannot be without them. The YAML stays as it is.
    """
    arguments = Arguments.without_plan(words)
    with session.project(arguments.overrides) as project:
        return _apply(session, project, _plan(project, arguments, destroy=True), **flags)


def _plan(project: Project, arguments: Arguments, replace: tuple[str, ...] = (), *, destroy: bool = False) -> Plan:
    targets = known(arguments.addresses, project)
    anew = known([address(word) for word in replace], project)
    return project.plan(targets, replace=anew, destroy=destroy)


def _apply(session: Session, project: Project, made: Plan, *, yes: bool) -> int:
    """Show the plan, ask, apply, and tell how it went."""
    from mlops.core.errors import StepsFailed
    from mlops.rendering import machine, results

    if not session.machine:
        say(_text(made))
    if made.steps and not yes:
        _confirm(session)
    if not made.steps and not session.machine:
        return 0
    if not session.machine:
        say("")
    with session.watching(project) as emit:
        result = project.apply(made, emit)
    if session.machine:
        say(machine.result(result, made))
    else:
        say("\n" + results.text(result, made, look(sys.stdout), project.composition.origins.of))
    if result.interrupted:
        return INTERRUPTED
    return StepsFailed.exit_code if results.has_failed(result) else 0


def _confirm(session: Session) -> None:
    if session.machine or not (sys.stdin.isatty() and sys.stdout.isatty()):
        message = "there is nobody to ask: say --yes to apply without being asked"
        raise click.UsageError(message)
    if not click.confirm("\nApply this?"):
        message = "nothing was changed"
        raise click.ClickException(message)


def _text(made: Plan) -> str:
    from mlops.rendering import plans

    return plans.text(made, look(sys.stdout))


def _read(path: Path) -> Plan:
    import json

    from mlops.core import plans
    from mlops.core.errors import PlanError

    hint = "write a plan with: mlops plan --out plan.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise PlanError(message, hint) from None
    except json.JSONDecodeError as error:
        message = f"{path}:{error.lineno}:{error.colno} is no JSON: {error.msg}"
        raise PlanError(message, hint) from None
    except ValueError:
        message = f"{path} is no text"
        raise PlanError(message, hint) from None
    try:
        return plans.from_json(data)
    except PlanError as error:
        message = f"{path}: {error.message}"
        raise PlanError(message, error.hint) from None


def _write(path: Path, text: str) -> None:
    from mlops.core.errors import PlanError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise PlanError(message, "name a file in a folder that exists and may be written to") from None


@commands.command()
@one_argument
@click.pass_obj
def show(session: Session, /, words: tuple[str, ...]) -> None:
    """Show what is configured and recorded.

    With ADDRESS: the spec, where each value was written, and what was made. Without: one line for each resource.
    """
    from mlops.rendering import records

    wanted, overrides = Arguments.about_one(words)
    with session.project(overrides) as project:
        resources, recorded = project.composition.resources, project.state().records
        if wanted is None:
            say(records.overview(resources, recorded, look(sys.stdout)))
            return
        (one,) = known([wanted], project)
        say(records.resource(one, resources.get(one), recorded.get(one), project.composition.origins, look(sys.stdout)))


@commands.command()
@one_argument
@click.pass_obj
def history(session: Session, /, words: tuple[str, ...]) -> None:
    """Show what was done, oldest first."""
    from mlops.rendering import records

    wanted, overrides = Arguments.about_one(words)
    with session.project(overrides) as project:
        one = known([wanted], project)[0] if wanted is not None else None
        say(records.history(project.history(one), look(sys.stdout)))


@commands.command()
@click.argument("before", shell_complete=suggest)
@click.argument("after", shell_complete=suggest)
@click.pass_obj
def diff(session: Session, before: str, after: str) -> None:
    """Compare two plans or two resources.

    BEFORE and AFTER are two .json files of plans, or two addresses: then specs, facts and outputs are compared.
    """
    from mlops.rendering import records

    plans = [word for word in (before, after) if word.endswith(".json")]
    if len(plans) == 1:
        message = "compare two plans or two addresses, not one of each"
        raise click.UsageError(message)
    if plans:
        sides = [records.of_plan(_read(Path(path))) for path in plans]
    else:
        with session.project() as project:
            wanted = known([address(before), address(after)], project)
            resources, recorded = project.composition.resources, project.state().records
            sides = [records.of_resource(resources.get(one), recorded.get(one)) for one in wanted]
    say(records.differences(sides[0], sides[1], look(sys.stdout)))


@commands.command()
@click.option("--dot", "form", flag_value="dot", help="Print the language of Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print the language of Mermaid.")
@click.pass_obj
def graph(session: Session, form: str | None) -> None:
    """Show what needs what, as a tree."""
    from mlops.engine.graphs import needs
    from mlops.rendering import graphs

    with session.project() as project:
        found = {str(one): sorted(needs(resource)) for one, resource in project.composition.resources.items()}
    say({"dot": graphs.dot, "mermaid": graphs.mermaid}.get(form or "", graphs.tree)(found))


@commands.command()
@overrides_argument
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@click.pass_obj
def status(session: Session, /, words: tuple[str, ...], **flags: bool) -> None:
    """Look at what runs: is it as recorded?"""
    from mlops.rendering import records

    arguments = Arguments.without_plan(words)
    if arguments.addresses:
        message = f"status looks at everything that runs: leave out {arguments.addresses[0]}"
        raise click.UsageError(message)
    with session.project(arguments.overrides) as project:
        while True:
            text = records.status(project.status(), look(sys.stdout))
            if flags["watch"] and sys.stdout.isatty():
                click.clear()
            if not say(text) or not flags["watch"]:
                return
            project.world.clock.sleep(2.0)


@commands.command()
@click.option("--run", "run", metavar="RUN", help="Id of the run, as `mlops history` shows it; the last one otherwise.")
@click.pass_obj
def log(session: Session, run: str | None) -> None:
    """Print the log of a run: JSON, one object a line."""
    from mlops import logs

    say(logs.read(session.root, run))


@commands.command()
@click.argument("folder", type=folder_type, default=".")
def init(folder: Path) -> None:
    """Begin a small project that plans at once."""
    from mlops import kinds, scaffolds, schemas

    found = kinds.load()
    written = [*scaffolds.write(folder), *schemas.write(folder / "schemas", found)]
    say("\n".join(str(path) for path in written))
    say(f"\nnext: {'' if folder == Path() else f'cd {folder} && '}mlops plan")


@commands.command(name="schemas")
@click.argument("folder", type=folder_type, required=False)
@click.pass_obj
def write_schemas(session: Session, folder: Path | None) -> None:
    """Write the JSON Schemas that editors use.

    FOLDER is the project's schemas/ where none is named. The first line of each YAML file names its schema.
    """
    from mlops import kinds, schemas

    say("\n".join(str(path) for path in schemas.write(folder or session.root / "schemas", kinds.load())))


@commands.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete words.

    For bash, put this into ~/.bashrc (zsh: ~/.zshrc):  eval "$(mlops completion bash)"

    It completes commands, options, addresses and the keys of overrides.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is not None:
        say(found(commands, {}, "mlops", "_MLOPS_COMPLETE").source())
