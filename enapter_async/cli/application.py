"""The command-line application and its exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn, cast

import click
from click.shell_completion import CompletionItem, add_completion_class

from enapter_async import __version__
from enapter_async._visible import make_visible
from enapter_async.cli import interruption
from enapter_async.cli.examples import help_epilog
from enapter_async.cli.exits import Exit, Failure, failure
from enapter_async.cli.groups import Command, Group, group
from enapter_async.cli.parameters import option
from enapter_async.cli.powershell import PowerShellComplete
from enapter_async.cli.profiles import profile_option

# The module of each command (with its name there if different) and its line in the list of commands, so that `--help`
# imports none of them.
COMMANDS: Final = {
    "collect": ("collect.command:collect", "Collect live telemetry into a database or into files."),
    "gaps": ("collect.gaps:gaps", "List and repair gaps in collected telemetry."),
    "export": ("export.command:export", "Export telemetry history to a file or a database."),
    "plot": ("plot.command:plot", "Plot telemetry in the terminal or as an image."),
    "simulate": ("simulate", "Run a simulated Cloud or Gateway locally."),
    "doctor": ("doctor.command:doctor", "Diagnose the connection, token and rate limit."),
    "completion": ("completion", "Print a shell completion script."),
    "sites": ("resources.sites", "List and manage sites."),
    "devices": ("resources.devices", "List and manage devices."),
    "commands": ("resources.commands", "Send commands to devices and list their executions."),
    "properties": ("resources.properties", "Show the properties that a device reports."),
    "configuration": ("resources.configuration", "Read and change the configuration of a device."),
    "logs": ("resources.logs", "List and follow device logs."),
    "telemetry": ("resources.telemetry", "Show and follow the latest telemetry."),
    "provisioning": ("resources.provisioning", "Provision new devices."),
    "blueprints": ("resources.blueprints", "Validate, upload and download blueprints."),
    "rules": ("resources.rules", "List and manage the rules of a site."),
    "api": ("api", "Send a request to any endpoint of the API."),
    "rule-engine": ("resources.rule_engine", "Show, suspend and resume a rule engine."),
}

_EXPECTED: Final = (click.ClickException, click.Abort, KeyboardInterrupt)
"""Ends of a command for which `--debug` shows no traceback."""

add_completion_class(PowerShellComplete)


class Application(Group):
    """A group of commands. Each error is one line, with an exit code for its kind.

    Commands are imported when they are run.
    """

    _only_listing = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or a placeholder while commands are listed."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        home, summary = COMMANDS[cmd_name]
        if self._only_listing:
            return Command(name=cmd_name, help=summary, short_help=summary)
        path, _, name = home.partition(":")
        module = import_module(f"enapter_async.cli.{path}")
        found = cast("click.Command", getattr(module, name or path.rpartition(".")[2]))
        found.epilog = help_epilog(cmd_name)
        return found

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        self._only_listing = True
        try:
            super().format_help(cast("Any", ctx), cast("Any", formatter))
        finally:
            self._only_listing = False

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with a text."""
        self._only_listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._only_listing = False

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command. In standalone mode, exit with its code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        arguments = list(sys.argv[1:] if args is None else args)
        code: object = None
        try:
            code = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        except SystemExit as left:
            # click exits with 1 if the reader has closed our output. As with `| head`, that is not an error.
            sys.exit(Exit.OK if isinstance(left.__context__, BrokenPipeError) else left.code)
        except (Exception, KeyboardInterrupt) as error:
            if "--debug" in arguments and not isinstance(error, _EXPECTED):
                raise
            _leave(*_describe_end(error))
        sys.exit(code if isinstance(code, int) else Exit.OK)


def _describe_end(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit code for an error that ends the command."""
    if isinstance(error, click.UsageError):
        return f"{error.format_message()}{_hint(error)}", Exit.USAGE
    if isinstance(error, Failure):
        return error.format_message(), error.code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "stopped", Exit.INTERRUPTED
    end = failure(error)
    if end.code == Exit.DEFECT and (ended_by := interruption.ended_by()) is not None:
        return ended_by  # Ctrl-C can cause any exception
    return end.format_message(), end.code


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"enapter-async: {make_visible(' '.join(message.split()))}", err=True)
    sys.exit(code)


def _hint(error: click.UsageError) -> str:
    return "" if error.ctx is None else f" (see {error.ctx.command_path} --help)"


@group(Application)
@click.version_option(__version__, message="%(prog)s %(version)s")
@profile_option
@option("--debug", is_flag=True, help="Log to stderr and show tracebacks of errors.")
def application(debug: bool) -> None:
    """Monitor and control Enapter energy systems, and collect their telemetry.

    Set your token in the environment variable ENAPTER_HTTP_API_TOKEN. The default server is the Cloud. To use another
    server, set ENAPTER_HTTP_API_BASE_URL (the address of a Gateway ends in /api). To choose a user, set
    ENAPTER_HTTP_API_USER. You can also store these settings in a profile of the configuration file.

    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
