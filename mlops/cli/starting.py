"""The commands that set something up: a project, its schemas, a shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.commands import commands, folder_type
from mlops.cli.sessions import say

if TYPE_CHECKING:
    from mlops.cli.sessions import Session


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
