"""Commands from the start to the end, and what to do when nobody knows whether one arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enapter_async import (
    CommandFailedError,
    Device,
    EnapterClient,
    ExecutionPendingError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimit,
    RequestError,
    RetryPolicy,
    ServerError,
    UnprocessableError,
)
from enapter_async.models.commands import CommandExecution, ExecutionState, ResponseState
from enapter_async.simulator import Fault, Role, Simulator

pytestmark = pytest.mark.anyio


async def test_execute_gives_the_end(client: EnapterClient, electrolyser: Device) -> None:
    execution = await client.commands.execute(electrolyser.id, "set_production_rate", {"rate": 80}, expand={"log"})
    assert execution.raise_for_state() is execution
    assert execution.request is not None
    assert execution.request.arguments["rate"] == 80
    assert execution.log is not None
    assert [response.state for response in execution.log] == [
        ResponseState.SUCCEEDED,
        ResponseState.IN_PROGRESS,
        ResponseState.STARTED,
    ]
    assert execution.response == execution.log[0]


@pytest.mark.parametrize(("name", "state"), [("self_test", "ERROR"), ("flush_stack", "TIMEOUT")])
async def test_a_command_that_fails_is_a_result(
    client: EnapterClient, electrolyser: Device, name: str, state: str
) -> None:
    for execution in (
        await client.commands.execute(electrolyser.id, name),
        await client.commands.run(electrolyser.id, name),
    ):
        assert execution.state == state
        with pytest.raises(CommandFailedError) as caught:
            execution.raise_for_state()
        assert (caught.value.state, caught.value.execution) == (state, execution)


async def test_run_goes_through_every_state(simulator: Simulator, electrolyser: Device, client: EnapterClient) -> None:
    seen: list[CommandExecution] = []
    execution = await client.commands.run(
        electrolyser.id, "start", expand={"log"}, on_progress=seen.append, site_id=electrolyser.site_id
    )
    assert execution.state is ExecutionState.SUCCESS
    assert seen[0].id == execution.id
    assert seen[-1] == execution
    assert len(simulator.requests_of("createExecution")) == 1
    assert await client.commands.get_execution(electrolyser.id, execution.id, expand={"log"}) == execution


async def test_out_of_time_the_command_goes_on(client: EnapterClient, electrolyser: Device) -> None:
    with pytest.raises(ExecutionPendingError) as caught:
        await client.commands.run(electrolyser.id, "start", timeout=0.05)
    execution = await client.commands.wait(electrolyser.id, caught.value.execution_id)
    assert execution.state is ExecutionState.SUCCESS


@pytest.mark.parametrize("fault", [Fault.reset(), Fault.close(), Fault.html(502), Fault.answer(500), Fault.truncate(5)])
async def test_wait_outlives_a_bad_connection(
    simulator: Simulator, electrolyser: Device, client: EnapterClient, fault: Fault
) -> None:
    impatient = client.with_options(retry=RetryPolicy.none())
    simulator.faults.on("getExecution", fault, nth=1)
    assert (await impatient.commands.run(electrolyser.id, "start")).state is ExecutionState.SUCCESS
    assert len(simulator.world.executions) == 1


async def test_what_the_manifest_refuses_is_refused(client: EnapterClient, electrolyser: Device) -> None:
    with pytest.raises(UnprocessableError) as caught:
        await client.commands.start(electrolyser.id, "set_production_rate", {"rate": 1000})
    assert caught.value.details == {"argument": "rate"}
    with pytest.raises(UnprocessableError):
        await client.commands.execute(electrolyser.id, "fly")
    with pytest.raises(NotFoundError):
        await client.commands.wait(electrolyser.id, "no-such-execution")


async def test_a_low_role_is_refused(simulator: Simulator, electrolyser: Device) -> None:
    simulator.add_token("guest", Role.READONLY)
    async with EnapterClient(base_url=simulator.url, token="guest") as guest:
        with pytest.raises(PermissionDeniedError):
            await guest.commands.run(electrolyser.id, "start")


async def test_lists_and_filters(client: EnapterClient, electrolyser: Device) -> None:
    commands, device_id, site_id = client.commands, electrolyser.id, electrolyser.site_id
    before = datetime.now(UTC) - timedelta(seconds=1)
    first = await commands.execute(device_id, "start")
    failed = await commands.execute(device_id, "self_test")
    hidden = await commands.execute(device_id, "stop", ephemeral=True)
    assert first.created_at is not None
    assert failed.created_at is not None

    async def ids(device: str | None = device_id, **filters: object) -> list[str]:
        return [one.id async for one in commands.list_executions(device, **filters)]  # type: ignore[arg-type]

    assert await ids(order="CREATED_AT_ASC") == [first.id, failed.id]
    assert await ids(order="CREATED_AT_DESC", page_size=1) == [failed.id, first.id]
    assert set(await ids(expand={"ephemeral"})) == {first.id, failed.id, hidden.id}
    assert await ids(state_in=["ERROR", "TIMEOUT"]) == [failed.id]
    assert await ids(name_in=["start", "stop"]) == [first.id]
    assert await ids(created_at_gte=failed.created_at) == [failed.id]
    assert await ids(created_at_gte=before, created_at_lt=failed.created_at) == [first.id]
    assert await ids(site_id=site_id, created_at_lt=before) == []
    assert set(await ids(None, site_id=site_id)) == {first.id, failed.id}
    assert await ids(None, site_id=site_id, device_id_in=["another"]) == []
    assert set(await ids(None, site_id=site_id, device_id_in=["another", device_id])) == {first.id, failed.id}


async def arrived(client: EnapterClient, device_id: str, name: str, error: RequestError, since: datetime) -> list[str]:
    """Tell which executions may be the one whose answer was lost: the recipe of the documentation."""
    margin = timedelta(seconds=5)  # the platform's clock is not ours
    listed = client.commands.list_executions(
        device_id, created_at_gte=since - margin, name_in=[name], expand={"ephemeral"}
    )
    return [execution.id async for execution in listed]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("ephemeral", [False, True])
@pytest.mark.parametrize("how", ["start", "execute", "run"])
async def test_reconciling_after_an_unknown_outcome(
    simulator: Simulator, client: EnapterClient, electrolyser: Device, how: str, ephemeral: bool, when: str
) -> None:
    operation = "executeCommand" if how == "execute" else "createExecution"
    simulator.faults.on(operation, Fault.reset(), when=when)  # type: ignore[arg-type]
    method = getattr(client.commands, how)
    began = datetime.now(UTC)
    with pytest.raises(OutcomeUnknownError) as caught:
        await method(electrolyser.id, "start", ephemeral=ephemeral)
    error = caught.value
    assert began <= error.started_at + timedelta(milliseconds=50)
    assert error.started_at <= datetime.now(UTC)
    found = await arrived(client, electrolyser.id, "start", error, error.started_at)
    assert len(found) == len(simulator.world.executions) == (when == "after")
    if found:
        execution = await client.commands.wait(electrolyser.id, found[0])
        assert execution.state is ExecutionState.SUCCESS


async def test_reconciling_after_a_proxy_gave_up(
    simulator: Simulator, client: EnapterClient, electrolyser: Device
) -> None:
    simulator.faults.on("createExecution", Fault.html(504), when="after")
    began = datetime.now(UTC)
    with pytest.raises(ServerError) as caught:
        await client.commands.start(electrolyser.id, "start")
    assert caught.value.outcome == "unknown"
    assert len(await arrived(client, electrolyser.id, "start", caught.value, began)) == 1


async def test_a_command_refused_with_429_is_sent_until_it_is_taken(simulator: Simulator, electrolyser: Device) -> None:
    simulator.faults.on("createExecution", Fault.rate_limited(0))
    unpaced = RateLimit(adaptive=False)
    async with EnapterClient(base_url=simulator.url, token=simulator.token, rate_limit=unpaced) as client:
        assert await client.commands.start(electrolyser.id, "start")
    assert len(simulator.world.executions) == 1
    assert len(simulator.requests_of("createExecution")) == 2
