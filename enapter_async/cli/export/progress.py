"""Show a progress bar on a terminal while `export` works, and nothing elsewhere."""

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
"""Of the bar; it counts whole ones."""


@asynccontextmanager
async def shown(
    console: Console, what: str, share: Callable[[], float], rows: Callable[[], int]
) -> AsyncGenerator[None, None]:
    """Show a bar for the length of a block: rows, percent, time left.

    Args:
        console: Where; nothing is shown where it is no terminal.
        what: Description of the work.
        share: Tells how much is done, 0 to 1.
        rows: Tells how many rows there are.
    """
    if not console.file.isatty() or console.quiet:  # whatever FORCE_COLOR says
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
    # What an earlier run did is no measure of how fast this one is: the task begins with it.
    task = bar.add_task(what, total=_STEPS, completed=int(share() * _STEPS), rows=rows())

    async def refresh() -> None:
        while True:
            bar.update(task, completed=int(share() * _STEPS), rows=rows(), refresh=True)
            await anyio.sleep(_REFRESH_SECONDS)

    with bar:
        async with alongside(refresh):
            yield
