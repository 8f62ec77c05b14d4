"""What every service's methods return, as type checkers see it. Checked by `nox -s types`; never run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

from enapter_async import (
    JSON,
    UNSET,
    Blueprint,
    BlueprintValidation,
    CommandExecution,
    CommunicationConfig,
    Datapoint,
    Device,
    DeviceFrame,
    EnapterClient,
    History,
    LatestPoint,
    Location,
    LogRecord,
    LogSeverity,
    Manifest,
    Page,
    Pager,
    ProvisionedDevice,
    Rule,
    RuleEngine,
    RuleLogRecord,
    RuleScript,
    Safety,
    Site,
    Stream,
    StreamEvent,
    TelemetryFrame,
    Terminal,
    TerminalSession,
    Watch,
)

NOW = datetime.now(UTC)


async def sites(client: EnapterClient) -> None:
    assert_type(client.sites.list(name="home"), Pager[Site])
    assert_type(client.sites.list_mine(page_size=10, max_items=5), Pager[Site])
    assert_type(await client.sites.get("s"), Site)
    assert_type(await client.sites.get_own(timeout=1), Site)
    assert_type(
        await client.sites.create(name="n", timezone="UTC", location=Location("l", latitude=1, longitude=2)), Site
    )
    assert_type(await client.sites.update("s", name="n", timezone=UNSET), Site)
    assert_type(await client.sites.update_own(name="n"), Site)
    assert_type(await client.sites.delete("s"), None)
    await client.sites.create(name="n")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.sites.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def devices(client: EnapterClient) -> None:
    pager = client.devices.list(site_id="s", expand={"connectivity", "manifest"}, concurrency=4)
    assert_type(pager, Pager[Device])
    assert_type(await client.devices.get("d", expand=["properties"]), Device)
    assert_type(await client.devices.update("d", name="n"), Device)
    assert_type(await client.devices.delete("d"), None)
    assert_type(await client.devices.get_manifest("d"), Manifest)
    assert_type(await client.devices.assign_blueprint("d", "b"), Device)
    assert_type(await client.devices.generate_communication_config("d", protocol="MQTT"), CommunicationConfig)
    session = await client.devices.run_terminal("d")
    assert_type(session, TerminalSession)
    async with client.devices.open_terminal(session) as terminal:
        assert_type(terminal, Terminal)
        async for text in terminal:
            assert_type(text, str)
    client.devices.list(expand={"misspelt"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def pagers(pager: Pager[Device]) -> None:
    assert_type(await pager, list[Device])
    async for device in pager:
        assert_type(device, Device)
    async for page in pager.pages():
        assert_type(page, Page[Device])
        assert_type(page.items, list[Device])
        assert_type(page.total_count, int | None)
    assert_type(await pager.collect(), list[Device])
    assert_type(await pager.first(), Device | None)


async def commands(client: EnapterClient) -> None:
    arguments: dict[str, JSON] = {"power": 1.5, "list": [1, None]}
    assert_type(await client.commands.execute("d", "start", arguments, ephemeral=True), CommandExecution)
    assert_type(await client.commands.start("d", "start"), str)
    assert_type(await client.commands.wait("d", "e", timeout=10), CommandExecution)
    execution = await client.commands.run("d", "start", {"power": 1})
    assert_type(execution.raise_for_state(), CommandExecution)
    assert_type(await client.commands.get_execution("d", "e", expand={"log"}), CommandExecution)
    assert_type(
        client.commands.list_executions("d", state_in=["SUCCESS"], order="CREATED_AT_DESC"), Pager[CommandExecution]
    )


async def data(client: EnapterClient) -> None:
    assert_type(await client.properties.get("d"), dict[str, JSON])
    assert_type(await client.configuration.get("d", "group", names=["a"]), dict[str, JSON])
    assert_type(await client.configuration.update("d", "group", set={"a": 1}, reset=["b"]), dict[str, JSON])
    assert_type(await client.configuration.reset_all("d", "group"), dict[str, JSON])
    assert_type(client.logs.list("d", received_at_gte=NOW, severity=LogSeverity.ERROR), Pager[LogRecord])
    assert_type(client.logs.list("d", severity="error"), Pager[LogRecord])


async def telemetry(client: EnapterClient) -> None:
    assert_type(await client.telemetry.latest({"d": ["power"]}), dict[str, dict[str, LatestPoint]])
    one = await client.telemetry.latest_for_device("d", attributes=["power"], relevance_interval=timedelta(minutes=1))
    assert_type(one, dict[str, LatestPoint])
    assert_type(one["power"].value, JSON)
    assert_type(one["power"].timestamp, datetime | None)
    watch = client.telemetry.watch({"d": ["power"]}, interval=5)
    assert_type(watch, Watch)
    async with watch as live:
        async for point in live:
            assert_type(point, Datapoint)
            assert_type(point.number, float | None)
        async for batch in live.batches():
            assert_type(batch, list[Datapoint])
    assert_type(client.telemetry.history([]), History)


async def streams(client: EnapterClient) -> None:
    assert_type(client.telemetry.follow("d"), Stream[TelemetryFrame])
    assert_type(client.streams.devices(["d"]), Stream[DeviceFrame])
    assert_type(client.rules.follow_log("r"), Stream[RuleLogRecord])
    async with client.logs.follow("d", severity="warning") as stream:
        assert_type(stream, Stream[LogRecord])
        async for record in stream:
            assert_type(record, LogRecord)
        async for event in stream.events():
            assert_type(event, LogRecord | StreamEvent)
        assert_type(stream.gaps, int)


async def provisioning(client: EnapterClient) -> None:
    assert_type(await client.provisioning.standalone(name="n", site_id="s"), ProvisionedDevice)
    assert_type(await client.provisioning.vucm(name="n", hardware_id="h"), ProvisionedDevice)
    assert_type(await client.provisioning.lua_device(runtime_id="r", blueprint_id="b", name="n"), ProvisionedDevice)
    assert_type(await client.provisioning.ucm(name="n", hardware_id="h", protocol="MQTTS"), ProvisionedDevice)


async def blueprints(client: EnapterClient) -> None:
    assert_type(await client.blueprints.validate(b"zip"), BlueprintValidation)
    assert_type(await client.blueprints.upload(Path("folder")), Blueprint)
    assert_type(await client.blueprints.get("b"), Blueprint)
    assert_type(await client.blueprints.get_by_name("n", tag="latest"), Blueprint)
    assert_type(await client.blueprints.download("b"), bytes)
    assert_type(await client.blueprints.download_to("b", "b.zip"), Path)
    assert_type(await client.blueprints.download_device_profiles(), bytes)
    assert_type(await client.blueprints.upload_device_profiles(b"zip"), None)


async def rules(client: EnapterClient) -> None:
    assert_type(await client.rule_engine.get(), RuleEngine)
    assert_type(await client.rule_engine.suspend("s"), RuleEngine)
    assert_type(await client.rule_engine.resume("s"), RuleEngine)
    assert_type(client.rules.list("s"), Pager[Rule])
    assert_type(await client.rules.get("r"), Rule)
    script = RuleScript(code="print(1)")
    assert_type(await client.rules.create(slug="r", script=script, disable=True), Rule)
    assert_type(await client.rules.update("r", slug="q"), Rule)
    assert_type(await client.rules.update_script("r", script=script), Rule)
    assert_type(await client.rules.enable("r"), Rule)
    assert_type(await client.rules.disable("r"), Rule)
    assert_type(await client.rules.enable_many(["r"]), None)
    assert_type(await client.rules.disable_many(["r"]), None)
    assert_type(await client.rules.delete("r"), None)


async def anything_else(client: EnapterClient) -> None:
    assert_type(await client.request("GET", "v3/new", safety=Safety.READ), JSON)
    await client.devices.update("d", name=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
