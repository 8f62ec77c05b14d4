"""A simulator in a thread, and the command in this process against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result

from enapter_async.cli.application import application
from enapter_async.simulator import RequestRecord, Simulator

NOTHING = dict.fromkeys(
    (
        "ENAPTER_HTTP_API_TOKEN",
        "ENAPTER_HTTP_API_BASE_URL",
        "ENAPTER_HTTP_API_USER",
        "ENAPTER_PROFILE",
        "ENAPTER_CONFIG",
    )
)


def invoke(*arguments: str, typed: str | None = None, **variables: str | None) -> Result:
    """Run the command without settings but those given."""
    environment = {**NOTHING, "XDG_CONFIG_HOME": "/nonexistent", "COLUMNS": "200", **variables}
    return CliRunner().invoke(application, list(arguments), input=typed, prog_name="enapter-async", env=environment)


@attrs.define
class Served:
    """A simulator, and what is in it."""

    simulator: Simulator
    ids: dict[str, str]
    made: int = 0

    @property
    def environment(self) -> dict[str, str | None]:
        return {
            "ENAPTER_HTTP_API_TOKEN": self.simulator.token,
            "ENAPTER_HTTP_API_BASE_URL": self.simulator.url,
        }

    @property
    def requests(self) -> list[RequestRecord]:
        """Requests since the world was made."""
        return list(self.simulator.requests)[self.made :]

    def run(self, *arguments: str, typed: str | None = None, **variables: str | None) -> Result:
        """Run the command; `{device}` and so on stand for what is in the simulator."""
        filled = [argument.format(**self.ids) for argument in arguments]
        return invoke(*filled, typed=typed, **{**self.environment, **variables})

    def read(self, *arguments: str) -> Any:
        """Run the command with JSON output."""
        result = self.run(*arguments, "--output", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@contextmanager
def served(*, known: bool = True, **options: Any) -> Iterator[Served]:
    """Run a simulator; `known` looks what is in it."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Simulator(**options)) as simulator:
        found = Served(simulator, {})
        if not known:
            yield found
            return
        listed = found.read("devices", "list")
        by_type = {one["type"]: one for one in reversed(listed)}
        found.ids.update(
            device=by_type["LUA"]["id"],
            name=by_type["LUA"]["name"],
            blueprint=by_type["LUA"]["blueprint_id"],
            ucm=by_type["VIRTUAL_UCM"]["id"],
            gateway=by_type["GATEWAY"]["id"],
            site=by_type["LUA"]["site_id"],
        )
        made = found.read("sites", "create", "--name", "Empty", "--timezone", "UTC")
        found.ids["empty"] = made["id"]
        found.made = len(found.requests)
        yield found
