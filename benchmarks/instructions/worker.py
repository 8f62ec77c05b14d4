"""Run one piece of work, for callgrind to count: `python -m benchmarks.instructions.worker PIECE LIBRARY`.

The garbage collector is off, since it runs when it likes. What is counted has run before, so caches are warm and the
interpreter has adapted.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys

from benchmarks.instructions.fake_server import Loop
from benchmarks.instructions.pieces import PIECES, Piece, Work

WARM_UP = 16  # calls: more than it takes CPython to adapt a function


async def repeat(work: Work, calls: int) -> None:
    for _ in range(calls):
        await work()


async def count(piece: Piece, library: ctypes.CDLL) -> None:
    async for ours, without_us in piece.prepare():
        for work in (ours, without_us):
            await repeat(work, -(-WARM_UP // piece.units))
        library.start_counting()
        for work in (without_us, ours):  # the first one also pays for the beginning, and is counted again
            await repeat(work, 1)
        library.dump_count()
        await repeat(without_us, piece.calls)
        library.dump_count()
        await repeat(ours, piece.calls)
        library.dump_count()


def main() -> None:
    gc.disable()
    name, path = sys.argv[1:]
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(count(PIECES[name], ctypes.CDLL(path)))


if __name__ == "__main__":
    main()
