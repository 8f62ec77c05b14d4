"""The command and how it ends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
import rich_click

from enapter_async import __version__
from enapter_async.cli.collect import collect
from enapter_async.cli.exits import Exit, Failure, failure
from enapter_async.cli.export import export
from enapter_async.cli.parameters import option
from enapter_async.cli.simulate import simulate


class Application(rich_click.RichGroup):
    """A group of commands whose errors are one line each, and exit codes tell their kind."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; in standalone mode, exit with its code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        arguments = list(sys.argv[1:] if args is None else args)
        code: object = None
        try:
            code = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        except click.UsageError as error:
            _leave(f"{error.format_message()}{_hint(error)}", Exit.USAGE)
        except Failure as error:
            _leave(error.format_message(), error.code)
        except click.ClickException as error:
            _leave(error.format_message(), error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _leave("stopped", Exit.INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has gone; nothing is left to say, and nowhere to say it.
            sys.stderr.close()
            sys.exit(Exit.FAILED)
        except Exception as error:
            if "--debug" in arguments:
                raise
            end = failure(error)
            _leave(end.format_message(), end.code)
        sys.exit(code if isinstance(code, int) else Exit.OK)


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"enapter-async: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _hint(error: click.UsageError) -> str:
    return "" if error.ctx is None else f" (see {error.ctx.command_path} --help)"


@rich_click.group(cls=Application)
@click.version_option(__version__, message="%(prog)s %(version)s")
@option("--debug", is_flag=True, help="Log to stderr, and show where an error came from.")
def application(debug: bool) -> None:
    """Enapter energy systems on the command line.

    The environment says which server to use: ENAPTER_HTTP_API_TOKEN, ENAPTER_HTTP_API_BASE_URL (the Cloud by
    default; that of a Gateway ends in /api) and ENAPTER_HTTP_API_USER.
    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


application.add_command(collect)
application.add_command(export)
application.add_command(simulate)
