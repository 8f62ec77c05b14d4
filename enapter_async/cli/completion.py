"""`enapter-async completion`, which prints a shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.groups import command
from enapter_async.cli.resources.declaration import argument

PROGRAM = "enapter-async"


@command()
@argument("shell", type=click.Choice(("bash", "zsh", "fish", "powershell")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell completion script for commands, options, devices, attributes and profiles.

    bash: eval "$(enapter-async completion bash)" in ~/.bashrc; zsh: the same with zsh, in ~/.zshrc;
    fish: enapter-async completion fish > ~/.config/fish/completions/enapter-async.fish;
    PowerShell: enapter-async completion powershell | Out-String | Invoke-Expression in $PROFILE
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"completion does not support {shell}", Exit.USAGE)
    click.echo(kind(context.find_root().command, {}, PROGRAM, "_ENAPTER_ASYNC_COMPLETE").source())
