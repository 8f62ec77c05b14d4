"""Run a simulator with `python -m enapter_async.simulator`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ._server.run import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the simulator."""
    parser = argparse.ArgumentParser(
        prog="python -m enapter_async.simulator",
        description="Run a simulated Enapter Cloud or Gateway on loopback. Press Ctrl-C to stop.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port, or 0 for a free one (%(default)s)")
    parser.add_argument("--devices", type=int, default=20, help="how many devices (%(default)s)")
    parser.add_argument(
        "--mode", choices=("any", "cloud", "gateway"), default="any", help="kind of server (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same world (%(default)s)")
    parser.add_argument("--token", help="API token, by default made from the seed")
    parser.add_argument("--rate-limit", type=float, metavar="R", help="requests per second, by default no limit")
    parser.add_argument(
        "--latency-ms", type=float, default=0.0, metavar="L", help="delay of every response in milliseconds"
    )
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, metavar="P", help="share of requests that fail, from 0 to 1"
    )
    parser.add_argument("--tls", action="store_true", help="serve https with a certificate made for this run")
    parser.add_argument("--cert", metavar="FILE", help="serve https with the certificate in this PEM file")
    parser.add_argument("--key", metavar="FILE", help="PEM file with its key, if that is a separate file")
    parser.add_argument("--allow-http", action="store_true", help="do not redirect http to https in cloud and gateway")
    parser.add_argument(
        "--no-control", dest="control", action="store_false", help="do not serve the control page and API"
    )
    parser.add_argument("--control-token", metavar="TEXT", help="control token, by default a random one")
    parser.add_argument(
        "--control-host",
        dest="control_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="a name of this machine under which the control page may be used; repeatable",
    )
    options = parser.parse_args(arguments)
    try:
        run(**vars(options))
    except (ImportError, OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
