"""`enapter-async simulate`, which runs a local server."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Final, Literal

import click

from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.groups import command
from enapter_async.cli.parameters import option

MODES: Final = ("any", "cloud", "gateway")


@command()
@option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 picks a free one.")
@option("--devices", type=click.IntRange(0), default=20, show_default=True, metavar="N", help="Number of devices.")
@option(
    "--mode",
    type=click.Choice(MODES),
    default="any",
    show_default=True,
    help="API to serve: of the Cloud, of a Gateway, or both.",
)
@option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Seed of the simulated data. The same seed gives the same data.",
)
@option("--token", metavar="TEXT", help="API token. [default: derived from the seed]")
@option(
    "--rate-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="R",
    help="Requests per second before 429. [default: no limit]",
)
@option(
    "--latency-ms",
    type=click.FloatRange(0),
    default=0.0,
    metavar="L",
    help="Milliseconds to wait before every response.",
)
@option(
    "--fault-rate",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Share of requests that fail, from 0 to 1.",
)
@option("--tls", is_flag=True, help="Serve https with a certificate created for this run.")
@option("--cert", type=click.Path(), metavar="FILE", help="Serve https with the certificate in this PEM file.")
@option(
    "--key",
    type=click.Path(),
    metavar="FILE",
    help="PEM file with the key, if it is not in the file of the certificate.",
)
@option("--allow-http", is_flag=True, help="Do not redirect http to https in the modes cloud and gateway.")
@option("--no-control", is_flag=True, help="Switch off the control page and its API.")
@option("--control-token", metavar="TEXT", help="Token of the control page. [default: random]")
@option(
    "--control-host",
    multiple=True,
    metavar="NAME",
    help="Host name that may be used to open the control page; repeatable.",
)
@option(
    "--until-stdin-closes",
    is_flag=True,
    help="Stop when standard input closes, for programs that start a simulator.",
)
def simulate(
    *,
    host: str,
    port: int,
    devices: int,
    mode: Literal["any", "cloud", "gateway"],
    seed: int,
    token: str | None,
    rate_limit: float | None,
    latency_ms: float,
    fault_rate: float,
    tls: bool,
    cert: str | None,
    key: str | None,
    allow_http: bool,
    no_control: bool,
    control_token: str | None,
    control_host: tuple[str, ...],
    until_stdin_closes: bool,
) -> None:
    """Run a simulated Cloud or Gateway locally.

    When it is ready, it prints its address and token on one line (with --tls also the CA file to trust), and the
    address of its control page on the next. Press Ctrl-C to stop.
    """
    from enapter_async.simulator import run  # other commands do not need a server

    if until_stdin_closes:
        threading.Thread(target=_stop_with_stdin, name="stdin", daemon=True).start()
    try:
        run(
            host=host,
            port=port,
            devices=devices,
            mode=mode,
            seed=seed,
            token=token,
            rate_limit=rate_limit,
            latency_ms=latency_ms,
            fault_rate=fault_rate,
            tls=tls,
            cert=cert,
            key=key,
            allow_http=allow_http,
            control=not no_control,
            control_token=control_token,
            control_hosts=control_host,
        )
    except (ImportError, OSError, ValueError) as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


def _stop_with_stdin() -> None:
    """Stop when the parent process ends in any way, which closes our standard input."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
