"""`enapter-async doctor`, which finds problems and suggests fixes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Final

import click

from enapter_async import ConfigurationError
from enapter_async._visible import make_visible
from enapter_async.cli.doctor.examination import Finding, examine, no_settings
from enapter_async.cli.exits import Exit
from enapter_async.cli.groups import command
from enapter_async.cli.output import Format, Printer, Shape, output_option
from enapter_async.cli.profiles import chosen_profile, profile_option
from enapter_async.cli.running import run

_SHAPE: Final = Shape.flat("check", "verdict", "said", "remedy")
_COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


@command()
@profile_option
@output_option
@click.pass_context
def doctor(context: click.Context, *, output: Format) -> None:
    """Diagnose settings, DNS, connection, TLS, token, role, clock and rate limit.

    Each check prints its result and how to fix a problem. About 20 read-only requests are sent. The exit code is
    that of the first problem: 3 settings, 4 token, 6 name, connection or TLS.
    """
    context.exit(run(_print_findings, output))


async def _print_findings(output: Format) -> Exit:
    printer = None if output == "table" else Printer(output, _SHAPE)
    code = Exit.OK
    async for finding in _findings():
        code = code or finding.code
        if printer is None:
            _print(finding)
        else:
            printer.write({name: getattr(finding, name) for name in _SHAPE.fields})
    if printer is not None:
        printer.end()
    return code


async def _findings() -> AsyncIterator[Finding]:
    try:
        profile = chosen_profile()
    except ConfigurationError as error:
        yield no_settings(error)
        return
    async for finding in examine(profile):
        yield finding


def _print(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict:<8}", fg=_COLOURS[finding.verdict], bold=True)
    color = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{verdict}  {finding.check:<10}  {make_visible(' '.join(finding.said.split()))}", color=color)
    if finding.remedy is not None:
        click.echo(f"{'':<22}-> {make_visible(finding.remedy)}", color=color)
