"""The commands that look: what is configured, recorded and running, why, and since when. None of them changes anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.arguments import Arguments, address, known, moments, suggest
from mlops.cli.commands import commands, one_argument, overrides_argument, read
from mlops.cli.rollout import rollout
from mlops.cli.sessions import look, say
from mlops.cli.state import lock, state

if TYPE_CHECKING:
    from mlops.cli.sessions import Session


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def explain(session: Session, /, words: tuple[str, ...], *, as_json: bool) -> None:
    """Explain why ADDRESS will change, or why it stays.

    For each of its steps: what its key is made of, as recorded and as it is now, and from whom its outputs could be reused.
    """
    from mlops.rendering import explanations

    session.machine = as_json
    wanted, overrides = Arguments.about_one(words)
    if wanted is None:
        message = "name the address that is to be explained, for example model.credit"
        raise click.UsageError(message)
    with session.project(overrides) as project:
        found = project.explain(*known([wanted], project))
        say(explanations.as_json(found) if as_json else explanations.text(found, look(sys.stdout)))


@commands.command()
@one_argument
@click.option(
    "--on", "when", metavar="DATE", help="What there was on a day (2026-11-24) or at a moment (2026-11-24T10:30), in UTC."
)
@click.option("--env", "environment", metavar="ENV", help="Of this environment, also one that conf/env has no longer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each run.")
@click.pass_obj
def history(session: Session, /, words: tuple[str, ...], when: str | None, environment: str | None, *, as_json: bool) -> None:
    """Show what was done, by whom and why, oldest first.

    With ADDRESS only to this, and with --on DATE in full: what there was, from which data, and how it ended.
    """
    from mlops.engine import recalling
    from mlops.rendering import histories, records

    session.machine = as_json
    wanted, overrides = Arguments.about_one(words)
    if wanted is None and (when or as_json):
        message = "name the address whose history is meant, for example rollout.credit"
        raise click.UsageError(message)
    period = moments(when) if when is not None else None
    with session.project(overrides) as project:
        if wanted is None:
            say(records.history(project.history(environment=environment), look(sys.stdout)))
            return
        chapters = project.recall(wanted, environment)
        if not chapters:
            known([wanted], project)
        chapters = recalling.within(chapters, *period) if period is not None else chapters
        told = [(one, project.sources(one, environment) if period is not None or as_json else ()) for one in chapters]
        if as_json:
            say(histories.as_json(told))
        elif when is None:
            say(histories.overview(chapters, look(sys.stdout)))
        else:
            say(histories.text(told, when, look(sys.stdout)))


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
        sides = [records.of_plan(read(Path(path))) for path in plans]
    else:
        with session.project() as project:
            wanted = known([address(before), address(after)], project)
            resources, recorded = project.composition.resources, project.state().records
            sides = [records.of_resource(resources.get(one), recorded.get(one)) for one in wanted]
    say(records.differences(sides[0], sides[1], look(sys.stdout)))


@commands.command()
@click.option("--dot", "form", flag_value="dot", help="Print the language of Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print the language of Mermaid.")
@click.option("--plan", "with_plan", is_flag=True, help="Mark what would change with the plan's signs.")
@overrides_argument
@click.pass_obj
def graph(session: Session, /, words: tuple[str, ...], form: str | None, *, with_plan: bool) -> None:
    """Show what needs what, as a tree."""
    from mlops.engine.choosing import Options
    from mlops.engine.graphs import needs
    from mlops.rendering import graphs

    with session.project(Arguments.without_plan(words).overrides) as project:
        found = {str(one): sorted(needs(resource)) for one, resource in project.composition.resources.items()}
        changes = project.plan(Options()).changes if with_plan else ()
    signs = {str(change.address): change.action.value for change in changes}
    say({"dot": graphs.dot, "mermaid": graphs.mermaid}.get(form or "", graphs.tree)(found, signs))


@commands.command()
@overrides_argument
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@click.pass_obj
def status(session: Session, /, words: tuple[str, ...], **flags: bool) -> int:
    """Look at what runs: is it as recorded? And did every test pass?"""
    from mlops.core.errors import StepsFailed
    from mlops.rendering import records

    arguments = Arguments.without_plan(words)
    if arguments.addresses:
        message = f"status looks at everything that runs: leave out {arguments.addresses[0]}"
        raise click.UsageError(message)
    with session.project(arguments.overrides) as project:
        while True:
            standing = project.standing()
            text = records.status(project.status(), standing, look(sys.stdout))
            if flags["watch"] and sys.stdout.isatty():
                click.clear()
            if not say(text) or not flags["watch"]:
                return StepsFailed.exit_code if standing else 0
            project.world.clock.sleep(2.0)


@commands.command()
@click.option("--run", "run", metavar="RUN", help="Id of the run, as `mlops history` shows it; the last one otherwise.")
@click.option("--address", metavar="ADDRESS", help="Only lines about this resource.")
@click.option("--step", metavar="STEP", help="Only lines about this step: model.credit/fit, or fit of all resources.")
@click.option("--since", metavar="DATE", help="Only lines from this day or moment on (2026-11-24T10:30), in UTC.")
@click.pass_obj
def log(session: Session, run: str | None, address: str | None, step: str | None, since: str | None) -> None:
    """Print the log of a run: JSON, one object a line."""
    from mlops import logs

    wanted = logs.Lines(address, step, moments(since)[0] if since is not None else None)
    text = logs.read(session.root, run, wanted)
    if text:
        say(text)


for group in (rollout, state, lock):
    commands.add_command(group)
