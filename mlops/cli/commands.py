"""The commands that plan and apply: each opens the project, asks it for one thing, and prints what rendering makes of it.

Those that look are in `looking`, those that set something up in `starting`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli import wishes
from mlops.cli.arguments import Arguments, suggest
from mlops.cli.sessions import Session, complain, confirm, look, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops.core.executions import Result
    from mlops.core.plans import Plan
    from mlops.core.rulings import Ruling
    from mlops.engine.choosing import Options
    from mlops.project import Project

CHANGES = 2  # exit code of `plan --check` where something would change
INTERRUPTED = 130  # exit code after Ctrl-C


def _stream(context: click.Context, parameter: click.Parameter, value: str | bool | None) -> None:  # noqa: FBT001 - click's form
    """Begin the stream that `--json` or `--json-into FILE` asks for."""
    if not value or context.resilient_parsing:
        return
    session = context.ensure_object(Session)
    session.machine = session.machine or parameter.name == "json"
    session.stream(context.info_name or "", value if isinstance(value, str) else None)


words_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS | override=value]...")
one_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS] [override=value]...")
overrides_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[override=value]...")
folder_type = click.Path(path_type=Path, file_okay=False)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask before applying.")
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_stream, help="Print JSON, one object a line, and nothing else."
)
into_option = click.option(
    "--json-into",
    metavar="FILE",
    expose_value=False,
    callback=_stream,
    help="Write the lines of --json into FILE too, or to a descriptor (/dev/fd/3), beside what is printed.",
)
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why you apply this; the history keeps it.")


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
@wishes.wishes
@click.option("--destroy", is_flag=True, help="Plan to remove what is recorded.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan to this .json file.")
@click.option("--check", is_flag=True, help="Leave with exit code 2 where something would change, 3 where a test stays failed.")
@click.option("--json", "form", flag_value="json", help="Print the plan as JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="Print markdown, for a pull request.")
@into_option
@click.pass_obj
def plan(session: Session, /, words: tuple[str, ...], out: Path | None, form: str | None, **flags: Any) -> int:
    """Show what would change, and why.

    ADDRESS (model.credit) plans only this and what it needs. override=value (model.credit.seed=8, env=prod)
    changes the configuration for this plan, in Hydra's grammar. Nothing is done.
    """
    session.machine = form == "json"
    if out is not None and out.suffix != ".json":
        message = f"--out {out}: the name of a plan ends in .json, so that `mlops apply` knows it"
        raise click.UsageError(message)
    arguments = Arguments.without_plan(words)
    with session.project(arguments.overrides) as project:
        made = project.plan(wishes.options(project, arguments, flags, destroy=flags["destroy"]))
        _tell_plan(session, made, form)
        rulings = project.judge(made)
        if form == "markdown":
            from mlops.rendering import markdown

            say(markdown.plan(made, rulings))
        _heed(session, rulings)
    if out is not None:
        _write(out, _as_json(made) + "\n")
        complain(f"written to {out}; apply it with: mlops apply {out}")
    _refuse(made)
    return _check(made) if flags["check"] else 0


def _tell_plan(session: Session, made: Plan, form: str | None) -> None:
    """Tell the plan in a stream, and as JSON or text; text goes without the packages that only JSON needs."""
    if session.is_streaming:
        from mlops.rendering import machine

        session.tell(machine.planned(made))
    if form == "json":
        say(_as_json(made))
    elif form is None:
        say(_text(made))


def _as_json(made: Plan) -> str:
    from mlops.rendering import machine

    return machine.plan(made)


def _check(made: Plan) -> int:
    """Return the exit code of a plan that is asked whether all is as it should be."""
    from mlops.core.errors import StepsFailed

    return CHANGES if made.changes else StepsFailed.exit_code if made.standing else 0


def _heed(session: Session, found: Sequence[Ruling]) -> None:
    """Tell what the project's policies say of a plan that was shown.

    Raises:
        PolicyDenied: one of them denies it.
    """
    if not found:
        return
    from mlops.policies import judging
    from mlops.rendering import machine, rulings

    for ruling in found:
        session.tell(machine.ruling(ruling))
    text = rulings.warnings(found, look(sys.stderr))
    if text:
        complain(text)
    judging.enforce(found)


@commands.command()
@click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS | override=value | plan.json]...")
@wishes.wishes
@click.option("--converge", is_flag=True, help="Plan and apply again until nothing is left to do, at most five times.")
@click.option("--force", is_flag=True, help="Apply a plan.json though what it read has changed since; needs --reason.")
@yes_option
@reason_option
@json_option
@into_option
@click.pass_obj
def apply(session: Session, /, words: tuple[str, ...], reason: str, *, yes: bool, force: bool, **flags: Any) -> int:
    """Do what a plan says.

    The plan is made now, shown and asked about; or it is read from a file that `mlops plan --out` wrote. That needs no YAML,
    and is refused where what the plan read has changed since.
    """
    arguments = Arguments.sort(words)
    if force and (arguments.plan is None or not reason):
        message = "--force applies a plan.json that does not fit any more: name the file, and say why with --reason TEXT"
        raise click.UsageError(message)
    if arguments.plan is not None:
        wishes.refuse(flags, arguments.plan)
        saved = read(arguments.plan)
        with session.resume(saved) as project:
            project.reason = reason
            return _apply(session, project, saved, yes=yes, saved=True, force=force)[0]
    with session.project(arguments.overrides) as project:
        project.reason = reason
        asked = wishes.options(project, arguments, flags)
        if flags["converge"]:
            return _converge(session, project, asked, yes=yes)
        return _apply(session, project, project.plan(asked), yes=yes)[0]


@commands.command()
@words_argument
@wishes.exclude_option
@yes_option
@reason_option
@json_option
@into_option
@click.pass_obj
def destroy(session: Session, /, words: tuple[str, ...], reason: str, *, yes: bool, exclude: tuple[str, ...]) -> int:
    """Stop what runs and forget what is recorded.

    With ADDRESS only these, and what cannot be without them. The YAML stays as it is.
    """
    arguments = Arguments.without_plan(words)
    with session.project(arguments.overrides) as project:
        project.reason = reason
        made = project.plan(wishes.options(project, arguments, {"exclude": exclude}, destroy=True))
        return _apply(session, project, made, yes=yes)[0]


def _converge(session: Session, project: Project, asked: Options, *, yes: bool) -> int:
    """Plan and apply in rounds; return the exit code of the last."""
    from mlops.engine import converging

    codes = [0]

    def carry_out(made: Plan) -> Result | None:
        code, result = _apply(session, project, made, yes=yes)
        codes.append(code)
        return result if code == 0 else None

    converging.converge(lambda: project.plan(asked), carry_out)
    return codes[-1]


def _refuse(made: Plan) -> None:
    """Refuse a plan with problems, once it was shown."""
    from mlops.engine import checking

    checking.sound(made)


def carry_out(session: Session, project: Project, made: Plan, *, yes: bool, before: Callable[[], None]) -> int:
    """Apply a plan that no spec asked for, and `before` that, once it is agreed to, do what must be durable; return the exit code."""
    return _apply(session, project, made, yes=yes, before=before)[0]


def _apply(
    session: Session, project: Project, made: Plan, *, yes: bool, before: Callable[[], None] = lambda: None, **how: bool
) -> tuple[int, Result | None]:
    """Show the plan, ask, apply, and tell how it went; return the exit code too. `how` is for `Project.apply`."""
    from mlops.core.errors import StepsFailed
    from mlops.rendering import machine, results

    session.tell(machine.planned(made))
    if not session.machine:
        say(_text(made))
    _refuse(made)
    _heed(session, project.judge(made))
    if made.steps and not yes:
        confirm(session, "Apply this?")
    before()
    if not made.steps and not session.machine:
        return StepsFailed.exit_code if made.standing else 0, None
    if not session.machine:
        say("")
    with session.watching(project) as emit:
        result = project.apply(made, emit, **how)
    session.tell(machine.result(result, made))
    if not session.machine:
        say("\n" + results.text(result, made, look(sys.stdout), project.composition.origins.of))
    if result.interrupted:
        return INTERRUPTED, result
    return StepsFailed.exit_code if results.has_failed(result, made) else 0, result


def _text(made: Plan) -> str:
    from mlops.rendering import plans

    return plans.text(made, look(sys.stdout))


def read(path: Path) -> Plan:
    """Return the plan in the file; raise PlanError where it is none."""
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
