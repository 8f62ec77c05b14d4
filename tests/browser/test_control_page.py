"""The control page in a real Chromium: what people do on it, with the mouse and with the keyboard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from chromium import EXECUTABLE, Page, open_page

from enapter_async.simulator import Fault, Simulator
from tests.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(EXECUTABLE is None, reason="Chromium is not installed")]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with open_page() as page:
        await page.resize(1280)
        yield page


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(devices=6) as sim:
        yield sim


async def open_control(page: Page, sim: Simulator) -> None:
    assert sim.control_page is not None
    await page.open(sim.control_page)
    count = min(24, len(sim.world.devices))
    await page.until(f"document.querySelectorAll('.device').length === {count}")


async def get(sim: Simulator, path: str) -> int | None:
    headers = {"X-Enapter-Auth-Token": sim.token}
    try:
        async with aiohttp.ClientSession() as session, session.get(sim.url + path, headers=headers) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return None


async def test_devices_are_shown_live(page: Page, sim: Simulator) -> None:
    device = next(iter(sim.world.devices.values()))
    await open_control(page, sim)
    card = "document.querySelector('.device')"
    assert device.name in await page.evaluate(f"{card}.innerText")
    assert len(await page.evaluate(f"{card}.querySelector('.line').getAttribute('d')")) > 200
    name = await page.evaluate(f"{card}.querySelector('.reading-name').textContent")
    attribute = next(
        key for key, entry in device.blueprint.section("telemetry").items() if entry["display_name"] == name
    )
    device.telemetry[attribute] = 12345.678
    await page.until(f"{card}.querySelector('.number').textContent === '12,346'")


async def test_a_device_is_taken_offline_and_an_alert_is_raised_and_cleared(page: Page, sim: Simulator) -> None:
    device = next(iter(sim.world.devices.values()))
    device.raised_alert_names.clear()
    await open_control(page, sim)

    await page.click(".device .toggle")
    await wait_until(lambda: device.connectivity == "OFFLINE")
    await page.until("document.querySelector('.device .toggle').textContent === 'Offline'")
    await page.until("document.querySelector('.device .number').textContent === '–'")
    await page.click(".device .toggle")
    await wait_until(lambda: device.connectivity == "ONLINE")

    await page.click(".device .name")
    await page.until("document.querySelector('dialog').open")
    await page.click("#dialog-alerts input")
    await wait_until(lambda: len(device.raised_alert_names) == 1)
    await page.click("#alert-name")
    await page.type("made up")
    await page.press("Enter")
    await wait_until(lambda: "made up" in device.raised_alert_names)
    await page.press("Escape")
    await page.until("!document.querySelector('dialog').open")
    await page.until("document.querySelectorAll('.device')[0].querySelectorAll('.chip').length === 2")
    await page.click(".device .chip:last-child button")
    await wait_until(lambda: "made up" not in device.raised_alert_names)


async def test_values_are_set_and_simulated_again(page: Page, sim: Simulator) -> None:
    device = next(iter(sim.world.devices.values()))
    await open_control(page, sim)
    await page.click(".device .name")
    await page.until("document.querySelector('dialog').open")
    await page.click("#dialog-values .set input")
    await page.type("42.5")
    await page.press("Enter")
    await wait_until(lambda: list(device.telemetry.values()) == [42.5])
    await page.until("document.querySelector('#dialog-values .number').textContent === '42.5'")
    await page.click("#dialog-values .set button")
    await wait_until(lambda: not device.telemetry)


async def test_the_next_answers_of_an_operation_break(page: Page, sim: Simulator) -> None:
    await open_control(page, sim)
    await page.click("#fault-operation")
    await page.type("listDevices")
    await page.evaluate("document.getElementById('fault-times').value = 2")
    await page.click("#fault-form .primary")
    await page.until("document.querySelector('#fault-list')?.textContent.includes('2 left')")
    assert [await get(sim, path) for path in ("/v3/sites", "/v3/devices", "/v3/devices", "/v3/devices")] == [
        200,
        503,
        503,
        200,
    ]
    await page.until("document.querySelectorAll('#fault-list li').length === 0")

    await page.evaluate("document.getElementById('fault-operation').value = 'listDevice'")
    await page.click("#fault-form .primary")
    await page.until("document.querySelector('.toast')?.textContent.includes(\"did you mean 'listDevices'\")")


async def test_requests_come_in_with_status_and_time(page: Page, sim: Simulator) -> None:
    sim.faults.on("listSites", Fault.reset(), when="after", nth=None).on("getDevice", Fault.delay(4))
    await open_control(page, sim)
    slow = asyncio.create_task(get(sim, f"/v3/devices/{next(iter(sim.world.devices))}"))
    await page.until("document.querySelector('.request .status')?.textContent === '…'")
    await get(sim, "/v3/devices?limit=1")
    await get(sim, "/v3/sites")
    await get(sim, "/v3/nothing?x=%3Cb%3E")
    await page.until("document.querySelectorAll('.request').length === 5")  # aiohttp sends what is lost once more
    assert await slow == 200
    await page.until("document.querySelectorAll('.request')[4].querySelector('.status').textContent === '200'")
    rows = await page.evaluate("[...document.querySelectorAll('.request summary')].map((row) => row.innerText)")
    newest, lost, again, listed, oldest = (row.split() for row in rows)
    assert newest[1:4] == ["404", "GET", "/v3/nothing"]
    assert lost[1:6] == again[1:6] == ["lost", "GET", "listSites", "reset,", "applied"]
    assert listed[1:4] == ["200", "GET", "listDevices"]
    assert oldest[1:4] == ["200", "GET", "getDevice"]
    assert oldest[-2:] == ["4.0", "s"]

    await page.click(".request:nth-child(4) summary")
    shown = await page.until("document.querySelector('.request[open] pre').innerText")
    assert shown.startswith("GET /v3/devices?limit=1\n")
    assert sim.token not in await page.evaluate("document.documentElement.outerHTML")
    await page.click("#request-filter")
    await page.type("listsites")
    assert await page.evaluate("document.querySelectorAll('.request:not([hidden])').length") == 2
    await page.click("#request-clear")
    await page.until("document.querySelectorAll('.request').length === 0")
    assert sim.requests == []


async def test_limits_and_the_clock_are_set(page: Page, sim: Simulator) -> None:
    await open_control(page, sim)
    for name, value in {"rate": "2.5", "burst": "4", "latency": "1.5", "faults": "0.5"}.items():
        await page.evaluate(f"document.getElementById('limit-{name}').value = '{value}'")
    await page.click("#limit-form .primary")
    await wait_until(lambda: sim.limiter.rate == 2.5)
    assert (sim.limiter.burst, sim.latency, sim.chaos.rate) == (4, 0.0015, 0.005)
    began = sim.world.now()
    await page.click("[data-advance='86400']")
    await wait_until(lambda: sim.world.now() > began + 86_000)
    await page.until("document.getElementById('clock-state').textContent === '+1 d'")
    await page.click("#clock-freeze")
    await page.until("document.getElementById('clock-state').textContent === 'frozen'")
    await page.click("#clock-reset")
    await page.until("document.getElementById('clock-state').hidden")
    assert abs(sim.world.now() - began) < 60


async def test_a_state_is_loaded_and_reset(page: Page, sim: Simulator) -> None:
    device = next(iter(sim.world.devices.values()))
    device.name = "Renamed"
    await open_control(page, sim)
    await page.evaluate(
        """(async () => {
            const api = await import('./api.js');
            const state = await api.call('GET', 'state');
            state.world.devices[0].name = 'Loaded';
            const files = new DataTransfer();
            files.items.add(new File([JSON.stringify(state)], 'state.json'));
            const input = document.getElementById('state-file');
            input.files = files.files;
            input.dispatchEvent(new Event('change'));
        })()"""
    )
    await wait_until(lambda: sim.world.devices[device.id].name == "Loaded")
    await page.click("#state-reset")
    await wait_until(lambda: sim.world.devices[device.id].name not in ("Loaded", "Renamed"))


async def test_everything_is_shown_as_text(page: Page, sim: Simulator) -> None:
    """Names, alerts, values, requests and faults that would be HTML; nothing is loaded from elsewhere."""
    device = next(iter(sim.world.devices.values()))
    device.name = HOSTILE
    device.raised_alert_names.append(HOSTILE)
    device.telemetry[HOSTILE] = HOSTILE
    next(iter(sim.world.sites.values())).name = HOSTILE
    sim.world.add_blueprint({"display_name": HOSTILE})
    sim.faults.on(None, Fault.answer(500), path=HOSTILE, nth=None)
    await get(sim, f"/v3/{HOSTILE}?{HOSTILE}")
    await open_control(page, sim)
    await page.until("document.querySelectorAll('.request').length === 1")
    await page.click(".device .name")
    await page.until("document.querySelector('dialog').open")
    await page.until("document.querySelectorAll('#dialog-values li').length > 3")
    assert await page.evaluate("document.title") == "Enapter Simulator"
    assert await page.evaluate("document.querySelectorAll('img').length") == 1  # the logo
    assert await page.evaluate("document.querySelectorAll('script').length") == 1
    assert await page.evaluate(f"document.body.textContent.split({json.dumps(HOSTILE)}).length") > 4
    assert {url.split("/_simulator/")[0] for url in page.requested if url != "about:blank"} == {sim.url}
    assert page.complaints == []


async def test_inline_code_would_be_refused(page: Page, sim: Simulator) -> None:
    await open_control(page, sim)
    refused = await page.evaluate(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true } })()"
    )
    assert refused


async def test_the_token_leaves_the_address_and_a_wrong_one_is_asked_for_again(page: Page, sim: Simulator) -> None:
    await open_control(page, sim)
    assert await page.evaluate("location.href") == f"{sim.url}/_simulator/"
    await page.evaluate("sessionStorage.clear()")
    await page.open(f"{sim.url}/_simulator/")
    await page.until("document.activeElement.id === 'token'")
    assert await page.evaluate("document.getElementById('main').hidden")
    await page.type("wrong")
    await page.press("Enter")
    await page.until("document.getElementById('sign-in-error').textContent.includes('not the right one')")
    await page.evaluate("document.getElementById('token').value = ''")
    assert sim.control_page is not None
    await page.type(sim.control_page.partition("=")[2])
    await page.press("Enter")
    await page.until("document.querySelectorAll('.device').length === 6")


async def test_it_works_by_keyboard(page: Page, sim: Simulator) -> None:
    device = next(iter(sim.world.devices.values()))
    device.raised_alert_names.clear()
    await open_control(page, sim)
    visited: list[str] = []
    for _ in range(80):
        await page.press("Tab")
        visited.append(
            await page.evaluate("document.activeElement.id || document.activeElement.className.split(' ')[0]")
        )
        if visited[-1] == "toggle" or visited[-1] == "pill":
            break
    assert visited[0] == "skip"
    assert visited.index("device-search") < visited.index("name") < visited.index("pill")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.press("Space")
    await wait_until(lambda: device.connectivity == "OFFLINE")
    # The card is updated in place: the focus stays where it is.
    await page.until("document.activeElement.textContent === 'Offline'")

    await page.evaluate("document.querySelector('.device .name').focus()")
    await page.press("Enter")
    await page.until("document.querySelector('dialog').open")
    await page.evaluate("document.querySelector('#dialog-alerts input').focus()")
    await page.press("Space")
    await wait_until(lambda: len(device.raised_alert_names) == 1)
    await page.press("Escape")
    await page.until("document.activeElement.className === 'name'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_and_its_text_can_be_read(page: Page, sim: Simulator, scheme: str) -> None:
    sim.world.raise_alert(next(iter(sim.world.devices.values())), "a_name_that_is_too_long_for_any_phone" * 3)
    await page.resize(390, 844)
    await page.scheme(scheme)
    await open_control(page, sim)
    await get(sim, "/v3/devices")
    for view in ("devices", "requests", "controls"):
        await page.click(f"#tabs [data-view={view}]")
        await page.until(f"document.querySelector('#tabs [data-view={view}]').getAttribute('aria-current') === 'page'")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        small = await page.evaluate(
            """[...document.querySelectorAll('button, input, select')]
                .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 24 && e.type !== 'checkbox')
                .map((e) => e.outerHTML)"""
        )
        assert [text for text in small if 'class="name"' not in text and "Clear " not in text] == []
    faint = await page.evaluate(CONTRAST)
    assert faint == []


CONTRAST = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const read = (color) => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const color = read(getComputedStyle(element).backgroundColor);
            if (color[3] > 250) return color;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility()) continue;
        const [a, b] = [light(read(getComputedStyle(element).color)), light(behind(element))];
        const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (contrast < 4.5) found.push(`${element.className || element.tagName} ${contrast.toFixed(2)}`);
    }
    return [...new Set(found)];
})()"""
"""Texts whose contrast is below the 4.5 of WCAG AA."""


async def test_many_devices_are_searched_and_shown_in_parts(page: Page) -> None:
    async with Simulator(devices=60) as sim:
        await open_control(page, sim)
        assert await page.evaluate("document.getElementById('device-count').textContent") == "60"
        await page.click("#device-more")
        await page.until("document.querySelectorAll('.device').length === 48")
        await page.click("#device-search")
        await page.type("gateway-1")
        await page.until("document.querySelectorAll('.device').length === 3")


async def test_an_end_and_a_new_start_are_told(page: Page) -> None:
    sim = Simulator(devices=2)
    await sim.start()
    await open_control(page, sim)
    await sim.stop()
    await page.until("document.getElementById('connection').textContent === 'No response'")
    await sim.start()
    await page.until("document.getElementById('connection').textContent === 'Live'")
    await sim.stop()
    async with Simulator(devices=2, port=sim.port):
        await page.until("!document.getElementById('sign-in').hidden")
