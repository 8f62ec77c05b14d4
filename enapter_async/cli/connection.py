"""Connection of a command to the server of its profile or environment, or to a new simulator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar, Unpack

import click
from rich.console import Console

from enapter_async import CLOUD_URL, EnapterClient, Hook
from enapter_async.cli.otel import environment_hooks
from enapter_async.cli.parameters import option
from enapter_async.cli.profiles import APP, RateOptions, chosen_profile, profile_option
from enapter_async.cli.simulate import MODES
from enapter_async.cli.simulator_process import simulator_process

F = TypeVar("F", bound=Callable[..., object])

_WORLD: Final = ("--devices", "--seed", "--mode")
"""Options of the simulator that determine its devices."""


def server_options(command: F) -> F:
    """Add `--profile`, `--simulate N` and the options of the simulator, which the command takes as `**simulator`."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


_OPTIONS: Final = (
    profile_option,
    option("--simulate", type=click.IntRange(1), metavar="N", help="Start a simulator with N devices and use it."),
    option(
        "--rate-limit",
        type=click.FloatRange(0, min_open=True),
        metavar="R",
        help="Simulator: requests per second before 429.",
    ),
    option(
        "--fault-rate", type=click.FloatRange(0, 1), metavar="P", help="Simulator: share of requests that fail, 0 to 1."
    ),
    option("--latency-ms", type=click.FloatRange(0), metavar="L", help="Simulator: delay of every response."),
    option("--seed", type=int, metavar="N", help="Simulator: seed of the simulated data."),
    option("--mode", type=click.Choice(MODES), help="Simulator: the API to serve."),
)


def chosen_simulator(given: Mapping[str, object]) -> dict[str, str] | None:
    """Return the options of `simulate` and their values, or None without a simulator.

    Args:
        given: Values of the options of `server_options`, None for those not given.

    Raises:
        click.UsageError: Options for a simulator were given without `--simulate`.
    """
    chosen = {f"--{name.replace('_', '-')}": str(value) for name, value in given.items() if value is not None}
    devices = chosen.pop("--simulate", None)
    if devices is not None:
        return {"--devices": devices, **chosen}
    if chosen:
        raise click.UsageError(f"{next(iter(chosen))} is for the simulator: add --simulate N")
    return None


def server_name(simulator: Mapping[str, str] | None) -> str:
    """Return a key that identifies the server and its data, without secrets.

    Raises:
        ConfigurationError: The profile does not exist, or no profile is configured.
    """
    if simulator is None:
        base_url = chosen_profile().base_url.rstrip("/")
        return "Enapter Cloud" if base_url == CLOUD_URL else base_url
    return " ".join(["simulator", *(f"{name} {simulator[name]}" for name in _WORLD if name in simulator)])


@asynccontextmanager
async def connected(
    simulator: dict[str, str] | None, console: Console, hooks: Sequence[Hook] = (), **options: Unpack[RateOptions]
) -> AsyncGenerator[EnapterClient, None]:
    """Provide a client during a block, and run the simulator if requested.

    Args:
        simulator: Options of `simulate` and their values; None for the server of the chosen profile.
        console: Console for the simulator's address.
        hooks: Hooks of the client.
        **options: Further options of the client.

    Raises:
        ConfigurationError: A setting of the profile or of the environment is missing or invalid.
        Failure: The simulator did not start.
    """
    if simulator is None:
        async with chosen_profile().connected(hooks, **options) as client:
            yield client
        return
    async with simulator_process(simulator) as address:
        console.print(str(address), highlight=False, soft_wrap=True)
        exporters = environment_hooks()
        async with EnapterClient(
            base_url=address.url,
            token=address.token,
            app=APP,
            hooks=(*hooks, *exporters),
            **options,
        ) as client:
            for exporter in exporters:
                exporter.observe(client)
            yield client
