"""Wishes: what one plan is asked for beyond the configuration, as options of the commands that plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops.cli.arguments import address, known

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.cli.arguments import Arguments
    from mlops.engine.choosing import Options
    from mlops.project import Project

exclude_option = click.option("--exclude", multiple=True, metavar="ADDRESS", help="Leave this out, and all that depends on it.")
_OPTIONS = (
    click.option("--replace", multiple=True, metavar="ADDRESS", help="Make this anew though nothing changed."),
    exclude_option,
    click.option(
        "--refresh",
        type=click.Choice(["none", "changed", "all"]),
        default="changed",
        help="What is looked at: only what records do not tell; inputs and what runs; artifacts of records too.",
    ),
)


def wishes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a plan."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options(project: Project, arguments: Arguments, wished: dict[str, Any], *, destroy: bool = False) -> Options:
    """Return what the plan is asked for.

    Raises:
        PlanError: an address is neither desired nor recorded.
    """
    from mlops.engine.choosing import Options, Refresh

    def named(name: str) -> frozenset[Any]:
        return frozenset(known([address(word) for word in wished.get(name, ())], project))

    targets = tuple(known(arguments.addresses, project))
    return Options(targets, named("replace"), destroy, named("exclude"), Refresh(wished.get("refresh", "changed")))


def refuse(wished: dict[str, Any], plan: object) -> None:
    """Refuse options that a finished plan cannot take.

    Raises:
        UsageError: one was given.
    """
    for name in ("replace", "exclude", "converge"):
        if wished[name]:
            message = f"--{name}: {plan} is a finished plan; plan again with it, or leave it out"
            raise click.UsageError(message)
