"""The commands about the state itself, `mlops state …`, and about who holds environments, `mlops lock …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.arguments import Arguments, suggest
from mlops.cli.sessions import Session, complain, confirm, look, say

if TYPE_CHECKING:
    from collections.abc import Sequence

overrides_argument = click.argument("words", nargs=-1, shell_complete=suggest, metavar="[override=value]...")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.group()
def state() -> None:
    """Look at what is recorded, move it, check it and repair it.

    All of it is about one environment: choose it with env=….
    """


@state.command(name="list")
@overrides_argument
@click.pass_obj
def list_records(session: Session, /, words: tuple[str, ...]) -> None:
    """List what is recorded, one line each."""
    from mlops.rendering import states

    with session.project(_overrides(words)) as project:
        say(states.listing(project.state(), look(sys.stdout)))


@state.command()
@click.argument("words", nargs=-1, required=True, shell_complete=suggest, metavar="ADDRESS [override=value]...")
@click.pass_obj
def show(session: Session, /, words: tuple[str, ...]) -> None:
    """Show one record: its spec, outputs, facts, keys and the values behind them."""
    from mlops.core.diagnostics import did_you_mean
    from mlops.core.errors import StateError
    from mlops.rendering import records, states

    wanted, overrides = Arguments.about_one(words)
    if wanted is None:
        message = "name the address of the record"
        raise click.UsageError(message)
    with session.project(overrides) as project:
        recorded = project.state().records
        if wanted not in recorded:
            message = f"{wanted} is not recorded in {project.settings.environment}"
            raise StateError(message, did_you_mean(wanted, recorded))
        found, shown = recorded[wanted], look(sys.stdout)
        say(records.resource(wanted, None, found, project.composition.origins, shown) + "\n" + states.identity(found, shown))


@state.command()
@click.argument("words", nargs=-1, shell_complete=suggest, metavar="[FILE] [override=value]...")
@click.option("--journal", is_flag=True, help="With all that was ever done.")
@click.pass_obj
def export(session: Session, /, words: tuple[str, ...], *, journal: bool) -> None:
    """Write the environment as one JSON document, to FILE or to standard output."""
    import json

    file, overrides = _file(words)
    with session.project(overrides) as project:
        document = project.maintenance.export(journal=journal)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    if file is None:
        say(text)
        return
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        raise click.ClickException(message) from None
    complain(f"written to {file}: {len(document['records'])} recorded; bring it back with: mlops state import {file}")


@state.command(name="import")
@click.argument("words", nargs=-1, required=True, shell_complete=suggest, metavar="FILE [override=value]...")
@click.option("--force", is_flag=True, help="Also of another project or environment, and over what is recorded.")
@click.pass_obj
def import_document(session: Session, /, words: tuple[str, ...], *, force: bool) -> None:
    """Record what an exported document says. Artifacts are not in it: they stay where they are."""
    file, overrides = _file(words)
    if file is None:
        message = "name the file that mlops state export wrote"
        raise click.UsageError(message)
    document = _read(file)
    with session.project(overrides) as project:
        count = project.maintenance.restore(document, force=force)
        say(f"imported {count} into {project.settings.environment}; mlops state verify looks for what is missing")


@state.command()
@overrides_argument
@click.pass_obj
def verify(session: Session, /, words: tuple[str, ...]) -> int:
    """Check that records follow from the journal, that artifacts are there, and that references lead somewhere.

    Every problem is said; with any, the exit code is 1. Nothing is changed.
    """
    from mlops.rendering import diagnostics

    with session.project(_overrides(words)) as project:
        problems = project.maintenance.verify()
        if not problems:
            say(f"sound: {len(project.state().records)} recorded in {project.settings.environment}")
            return 0
    complain(diagnostics.diagnostics(problems, look(sys.stderr), session.read_line))
    return 1


@state.command()
@overrides_argument
@yes_option
@click.pass_obj
def repair(session: Session, /, words: tuple[str, ...], *, yes: bool) -> None:
    """Rebuild the records from the journal, where they differ; it is shown and asked first."""
    from mlops.rendering import states

    with session.project(_overrides(words)) as project:
        differ = project.maintenance.differences()
        if not differ:
            say("nothing to repair: the records are what the journal says")
            return
        say(states.repairs(differ, look(sys.stdout)))
        if not yes:
            confirm(session, "Rebuild these?")
        project.maintenance.repair()
        say("repaired; the journal says so")


@click.group()
def lock() -> None:
    """See who holds environments, and take one away from a process that will not come back."""


@lock.command(name="list")
@overrides_argument
@click.pass_obj
def list_leases(session: Session, /, words: tuple[str, ...]) -> None:
    """List who holds which environment, since when and until when."""
    from mlops.rendering import states

    with session.project(_overrides(words)) as project:
        found = project.store.leases()
        say(states.leases(found, [project.store.is_held(lease) for lease in found], look(sys.stdout)))


@lock.command(name="break")
@click.argument("environment")
@overrides_argument
@yes_option
@click.pass_obj
def break_lease(session: Session, /, environment: str, words: tuple[str, ...], *, yes: bool) -> None:
    """Take the environment away from who holds it. That process cannot write any more, even if it still runs."""
    from mlops.rendering import states

    with session.project(_overrides(words)) as project:
        held = [lease for lease in project.store.leases() if lease.environment == environment]
        if held and not yes:
            say(states.leases(held, [project.store.is_held(lease) for lease in held], look(sys.stdout)))
            confirm(session, "Take it away?")
        broken = project.maintenance.break_lease(environment)
        say(f"{environment} is free; it was held by {broken.owner} since {broken.since}")


def _overrides(words: Sequence[str]) -> tuple[str, ...]:
    found = Arguments.without_plan(words)
    if found.addresses:
        message = f"this is about a whole environment: leave out {found.addresses[0]}"
        raise click.UsageError(message)
    return found.overrides


def _file(words: Sequence[str]) -> tuple[Path | None, tuple[str, ...]]:
    """Return the file and the overrides among the words."""
    files = [word for word in words if "=" not in word and not word.startswith(("+", "~"))]
    if len(files) > 1:
        message = f"name one file, not {' and '.join(files)}"
        raise click.UsageError(message)
    return (Path(files[0]) if files else None), tuple(word for word in words if word not in files)


def _read(path: Path) -> object:
    import json

    from mlops.core.errors import StateError

    hint = "write one with: mlops state export FILE"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise StateError(message, hint) from None
    except ValueError as error:
        message = f"{path} is no JSON: {error}"
        raise StateError(message, hint) from None
