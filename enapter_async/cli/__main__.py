"""Entry point of `python -m enapter_async.cli`, the same as `enapter-async`."""

from enapter_async.cli import main

main()
