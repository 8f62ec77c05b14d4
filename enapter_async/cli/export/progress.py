"""The progress bar of `export`, shown only on a terminal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from enapter_async.cli.running import alongside

_REFRESH_SECONDS: Final = 0.25
_STEPS: Final = 10_000
"""Steps of the bar, which counts whole numbers."""


@asynccontextmanager
async def shown(
    console: Console, what: str, share: Callable[[], float], rows: Callable[[], int]
) -> AsyncGenerator[None, None]:
    """Show a bar with rows, percent and time left during a block.

    Args:
        console: Console for the bar. Nothing is shown unless it is a terminal.
        what: Description of the work.
        share: Returns the completed share, 0 to 1.
        rows: Returns the number of rows.
    """
    if not console.file.isatty() or console.quiet:  # independent of FORCE_COLOR
        yield
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        auto_refresh=False,
        transient=True,
    )
    # The progress of an earlier run must not affect the speed of this one, so the bar starts with it.
    task = bar.add_task(what, total=_STEPS, completed=int(share() * _STEPS), rows=rows())

    async def refresh() -> None:
        while True:
            bar.update(task, completed=int(share() * _STEPS), rows=rows(), refresh=True)
            await anyio.sleep(_REFRESH_SECONDS)

    with bar:
        async with alongside(refresh):
            yield
