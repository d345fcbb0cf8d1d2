"""The commands about deliveries, `mlops rollout …`: look at them, tell them what to do, go back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mlops.cli.arguments import Arguments, suggest
from mlops.cli.commands import carry_out
from mlops.cli.sessions import Session, look, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops.core.addresses import Address
    from mlops.core.notices import Verb
    from mlops.project import Project

PAUSE = 2.0  # seconds between two looks of --watch
one_argument = click.argument("words", nargs=-1, required=True, shell_complete=suggest, metavar="ADDRESS [override=value]...")
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with what you ask.")


@click.group()
def rollout() -> None:
    """Look at deliveries, and tell them what to do.

    What is asked is heard by the apply that runs, within a second, or else by the next one.
    """


@rollout.command()
@click.argument("words", nargs=-1, shell_complete=suggest, metavar="[ADDRESS] [override=value]...")
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@click.pass_obj
def status(session: Session, /, words: tuple[str, ...], *, watch: bool) -> None:
    """Show what serves, where deliveries stand, and what is rejected."""
    from mlops import attending
    from mlops.project import kinds
    from mlops.rendering import deliveries

    wanted, overrides = Arguments.about_one(words)
    with session.project(overrides) as project:
        while True:
            addresses = [wanted] if wanted is not None else attending.rollouts(project, kinds())
            text = deliveries.status([attending.look(project, kinds(), one) for one in addresses], look(sys.stdout))
            if watch and sys.stdout.isatty():
                click.clear()
            if not say(text) or not watch:
                return
            project.world.clock.sleep(PAUSE)


@rollout.command()
@one_argument
@click.pass_obj
def explain(session: Session, /, words: tuple[str, ...]) -> None:
    """Say what a delivery waits for, until when, how each metric fares, and what you can do."""
    from mlops import attending
    from mlops.project import kinds
    from mlops.rendering import deliveries

    wanted, overrides = _one(words)
    with session.project(overrides) as project:
        say(deliveries.explanation(attending.look(project, kinds(), wanted), look(sys.stdout)))


def _asking(name: str, verb: Verb, about: str) -> Callable[..., None]:
    """Add a command that asks one thing."""

    @rollout.command(name=name, help=about)
    @one_argument
    @reason_option
    @click.pass_obj
    def command(session: Session, /, words: tuple[str, ...], reason: str) -> None:
        wanted, overrides = _one(words)
        with session.project(overrides) as project:
            _ask(project, wanted, verb, reason)

    return command


_asking("abort", "abort", "Take the new version back; what served before serves alone.")
_asking("pause", "pause", "Stay where the delivery is.")
_asking("resume", "resume", "Go on after a pause, or look anew where the analysis could not tell.")
_asking("retry", "retry", "Let a version be delivered again that was rejected.")


@rollout.command()
@one_argument
@click.option("--full", is_flag=True, help="Skip all further steps and analyses.")
@reason_option
@click.pass_obj
def promote(session: Session, /, words: tuple[str, ...], reason: str, *, full: bool) -> None:
    """Go on to the next step: end a pause, or pass over what the analysis could not tell."""
    wanted, overrides = _one(words)
    with session.project(overrides) as project:
        _ask(project, wanted, "promote-full" if full else "promote", reason)


@rollout.command()
@one_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@reason_option
@click.pass_obj
def undo(session: Session, /, words: tuple[str, ...], reason: str, *, yes: bool) -> int:
    """Go back to the version that served before, at once, without any network or build.

    The version that served until now is rejected: the next plan shows it blocked, until `retry` or another version.
    """
    from mlops import attending
    from mlops.project import kinds

    wanted, overrides = _one(words)
    with session.project(overrides) as project:
        project.reason = reason
        made = attending.undo(project, kinds(), wanted)

        def before() -> None:
            attending.reject(project, wanted, f"undone{f': {reason}' if reason else ''}")

        return carry_out(session, project, made, yes=yes, before=before)


def _ask(project: Project, wanted: Address, verb: Verb, reason: str) -> None:
    from mlops import attending
    from mlops.project import kinds

    is_heard = attending.ask(project, kinds(), wanted, verb, reason)
    if verb == "retry":
        say(f"{wanted} may be delivered again: mlops apply")
    elif is_heard:
        say(f"{wanted} is asked to {verb}; the apply that runs hears it")
    else:
        say(f"{wanted} is asked to {verb}; no apply runs: the next one hears it first (mlops apply)")


def _one(words: Sequence[str]) -> tuple[Address, tuple[str, ...]]:
    wanted, overrides = Arguments.about_one(words)
    if wanted is None:
        message = "name the address of the rollout"
        raise click.UsageError(message)
    return wanted, overrides
