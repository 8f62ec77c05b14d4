"""Blueprint archives are read, validated, stored and given back."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import zipfile
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_calls import Caller, device_of

from enapter_async.simulator import STOCK, Simulator
from enapter_async.simulator._server.manifests.archives import read_archive, write_archive
from enapter_async.simulator._server.manifests.manifest_file import read_manifest
from enapter_async.simulator._server.manifests.validation import validate_manifest

MANIFEST = """\
# A flow meter.
blueprint_spec: device/3.0
display_name: 'Flow meter: "mine"'
description: |
  Two lines,
  with a colon: here.
runtime:
  type: lua
  options: {dir: src, file: main.lua}
implements: [lib.device, "flow, meter"]
properties:
  serial_number: # comment
    type: string
    display_name: Serial # not a "comment"
telemetry:
  flow:
    type: float
    display_name: Flow
    unit: "Nl/h"
    access_level: OWNER
  mode:
    type: string
    display_name: Mode
    enum:
    - slow
    - 'fast'
  state:
    type: string
    display_name: State
    enum:
      ok: {display_name: Okay, color: green}
      bad:
        display_name: Bad
alerts:
commands:
  reset:
    display_name: Reset
    group: control
    access_level: null
    arguments:
      depth:
        type: integer
        min: -3
        max: 10.5
        required: yes
"""


def archive(manifest: str = MANIFEST, name: str = "manifest.yml") -> bytes:
    return write_archive({name: manifest.encode(), "src/main.lua": b"-- code"})


def test_a_manifest_in_yaml() -> None:
    manifest = read_manifest(MANIFEST)
    assert manifest["display_name"] == 'Flow meter: "mine"'
    assert manifest["description"] == "Two lines,\nwith a colon: here.\n"
    assert manifest["runtime"] == {"type": "lua", "options": {"dir": "src", "file": "main.lua"}}
    assert manifest["implements"] == ["lib.device", "flow, meter"]
    assert manifest["properties"]["serial_number"] == {"type": "string", "display_name": "Serial"}
    assert manifest["telemetry"]["mode"]["enum"] == ["slow", "fast"]
    assert manifest["telemetry"]["state"]["enum"]["ok"] == {"display_name": "Okay", "color": "green"}
    assert manifest["alerts"] is None
    depth = manifest["commands"]["reset"]["arguments"]["depth"]
    assert depth["min"] == -3
    assert depth["required"] is True


def test_states_may_be_called_on_and_off() -> None:
    manifest = read_manifest("list: [on, off]\nmap:\n  on: {display_name: On}\n  off: {display_name: Off}\n")
    assert manifest == {"list": ["on", "off"], "map": {"on": {"display_name": "On"}, "off": {"display_name": "Off"}}}


def test_without_pyyaml_a_manifest_in_json_is_read_and_one_in_yaml_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    json_manifest = json.dumps({"blueprint_spec": "device/3.0", "display_name": "Meter", "runtime": {"type": "lua"}})
    assert read_archive(write_archive({"manifest.yml": json_manifest.encode()})).errors == []
    (error,) = read_archive(write_archive({"manifest.yml": MANIFEST.encode()})).errors
    assert error == "manifest.yml: YAML is read by PyYAML: pip install 'enapter-async[simulator]'"


def doubled(anchor: str, times: int) -> str:
    """Write a few lines of YAML in which every alias stands for nine times more than the last."""
    lines = [f"a0: &a0 {anchor}"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, times)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (doubled("[x,x,x,x,x,x,x,x,x]", 10), "the manifest is too large with its aliases written out"),
        (doubled("'" + "x" * 50_000 + "'", 4), "the manifest is too large with its aliases written out"),
        (
            "\n".join(["a0: &a0 {a: 1}", *(f"a{n}: &a{n} {{<<: [{f'*a{n - 1},' * 9}]}}" for n in range(1, 10))]),
            "the manifest is too large with its aliases written out",
        ),
        ("a: &a [*a]", "an alias is part of what it stands for"),
        ("&a {b: {c: *a}}", "an alias is part of what it stands for"),
        ("a: 1" + ":1" * 100_000, "a number is too long"),
        ("a: 1" + ":1" * 300 + ".5", "a number is too long"),
        ("a: !!int 1" + ":1" * 300, "a number is too long"),
        ("a: !!int ''", "a value does not fit its tag"),
        ("a: !!bool maybe", "a value does not fit its tag"),
        ("a: !!timestamp soon", "a value does not fit its tag"),
        ("[" * 10_000, "the manifest is nested too deeply"),
        ('{"a":' * 10_000, "the manifest is nested too deeply"),
        ("[" + "[]," * 100_000 + "]", "the manifest is larger than 256 KiB"),
    ],
    ids=lambda value: value[:24],
)
def test_a_small_manifest_cannot_make_a_large_one(text: str, error: str) -> None:
    assert read_archive(archive(text)).errors == [f"manifest.yml: {error}"]


def test_aliases_that_are_used_with_measure_are_read() -> None:
    text = "common: &common {type: float, unit: W}\ntelemetry:\n  in: *common\n  out: {<<: *common, unit: kW}\n"
    manifest = read_manifest(text)
    assert manifest["telemetry"] == {"in": {"type": "float", "unit": "W"}, "out": {"type": "float", "unit": "kW"}}


@given(st.text(alphabet="ab:-#'\"[]{},\n |>&*!%1.", max_size=60))
def test_any_text_gives_a_value_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        read_manifest(text)


def test_the_catalogue_is_valid() -> None:
    for stock in STOCK:
        assert validate_manifest(stock.manifest) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"blueprint_spec": "device/1.0"}, "blueprint_spec: 'device/1.0' is not valid here"),
        ({"blueprint_spec": None}, "blueprint_spec: is required"),
        ({"display_name": 5}, "display_name: '5' is not valid here"),
        ({"telemetry": []}, "telemetry: expected a mapping"),
        ({"telemetry": {"a b": {"type": "float"}}}, "telemetry.a b: not a valid name"),
        ({"telemetry": {"a": None}}, "telemetry.a: expected a mapping"),
        ({"telemetry": {"a": {}}}, "telemetry.a.type: is required"),
        ({"telemetry": {"a": {"type": "decimal"}}}, "telemetry.a.type: 'decimal' is not valid here"),
        ({"properties": {"a": {"type": "alerts"}}}, "properties.a.type: 'alerts' is not valid here"),
        (
            {"properties": {"a": {"type": "json", "access_level": "boss"}}},
            "properties.a.access_level: 'boss' is not valid here",
        ),
        ({"alerts": {"1-a": {"severity": "bad"}}}, "alerts.1-a.severity: 'bad' is not valid here"),
        (
            {"commands": {"a": {"arguments": {"b": {"type": "x"}}}}},
            "commands.a.arguments.b.type: 'x' is not valid here",
        ),
        ({"commands": {"a": {"arguments": {"b": 1}}}}, "commands.a.arguments.b: expected a mapping"),
        ({"configuration": {"a": {}}}, "configuration.a.parameters: is required"),
        (
            {"commands": {"a": {"confirmation": {"severity": "error"}}}},
            "commands.a.confirmation.severity: 'error' is not valid here",
        ),
    ],
)
def test_every_defect_is_one_readable_line(change: dict[str, Any], error: str) -> None:
    manifest = {"blueprint_spec": "device/3.0", "display_name": "x"} | change
    assert validate_manifest(manifest) == [error]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"blueprint_spec": st.just("device/3.0"), "display_name": st.just("x")},
        optional={
            name: json_values | st.dictionaries(st.sampled_from(["a", "b"]), json_values)
            for name in ("telemetry", "properties", "alerts", "commands", "configuration", "runtime", "units")
        },
    )
)
def test_validation_never_fails_itself(manifest: Any) -> None:
    assert isinstance(validate_manifest(manifest), list)


def test_archives_that_cannot_be_read() -> None:
    assert read_archive(b"no zip").errors[0].startswith("not a zip archive")
    assert read_archive(archive()[:100]).errors[0].startswith("not a zip archive")
    assert read_archive(write_archive({"readme.md": b""})).errors == ["missed file manifest.yml"]
    assert read_archive(write_archive({"../manifest.yml": b""})).errors[0].endswith("leaves the archive")
    assert read_archive(archive("a: [")).errors[0].startswith("manifest.yml: ")
    assert read_archive(archive("{", "manifest.json")).errors[0].startswith("manifest.json: ")
    assert read_archive(archive("- a")).errors == ["manifest: expected a mapping"]
    bomb = write_archive({"manifest.yml": b"", "big": bytes(65 * 1024 * 1024)})
    assert read_archive(bomb).errors == ["the archive is too large"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@given(data=st.data())
def test_a_damaged_archive_is_a_defect(method: int, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as whole:
        whole.writestr("manifest.yml", MANIFEST)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    read_archive(bytes(damaged))


@pytest.mark.parametrize(
    ("text", "name"),
    [("a: '\0'", "manifest.yml"), ("a: '\x07'", "manifest.yml"), (r'a: "\ud800"', "manifest.yml"),
     (r'{"a": "\ud800"}', "manifest.json"), (r'{"\udfff": 1}', "manifest.yml")],
)  # fmt: skip
def test_characters_that_no_answer_can_have_are_a_defect(text: str, name: str) -> None:
    (error,) = read_archive(archive(text, name)).errors
    assert error.startswith(f"{name}: ")
    assert error.isprintable()


@pytest.mark.anyio
async def test_validation_is_anonymous_and_always_200(call: Caller) -> None:
    assert await call("POST", "/v3/blueprints/validate", data=archive(), token="") == {}
    answer = await call("POST", "/v3/blueprints/validate", data=archive("display_name: x"), token="")
    assert answer == {"validation_errors": ["blueprint_spec: is required"]}
    await call("POST", "/v3/blueprints/validate", data=b"", status=400)


@pytest.mark.anyio
async def test_an_upload_comes_back_as_it_was(sim: Simulator, call: Caller) -> None:
    data = archive()
    made = (await call("POST", "/v3/blueprints/upload", data=data))["blueprint"]
    path = f"/v3/blueprints/{made['id']}"
    assert (await call("GET", path))["blueprint"] == made
    assert await call("GET", f"{path}/zip?view=ORIGINAL", token="") == data
    compiled = await call("GET", f"{path}/zip", token="")
    with zipfile.ZipFile(io.BytesIO(compiled)) as files:
        assert files.namelist() == ["manifest.json", "src/main.lua"]
        manifest = json.loads(files.read("manifest.json"))
    assert manifest["telemetry"]["state"]["enum"] == ["ok", "bad"]
    assert manifest["telemetry"]["state"]["enum_with_metainfo"][0]["value"] == "ok"
    await call("GET", f"{path}/zip?view=RAW", status=400)
    device = device_of(sim, "weather_station")
    await call("POST", f"/v3/devices/{device.id}/assign_blueprint", json={"blueprint_id": made["id"]})
    answer = await call("GET", f"/v3/devices/{device.id}/manifest")
    assert answer["manifest"]["telemetry"]["flow"]["access_level"] == "owner"
    assert "access_level" not in answer["manifest"]["commands"]["reset"]
    latest = await call("GET", f"/v3/devices/{device.id}/telemetry")
    assert set(latest["telemetry"]) == {"flow", "mode", "state", "alerts", "alert_details"}


@pytest.mark.anyio
async def test_a_form_works_like_raw_bytes(call: Caller) -> None:
    def form(name: str) -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("note", "x")
        form.add_field(name, archive(), filename="b.zip", content_type="application/zip")
        return form

    made = (await call("POST", "/v3/blueprints/upload", data=form("data")))["blueprint"]
    assert await call("GET", f"/v3/blueprints/{made['id']}/zip?view=ORIGINAL") == archive()
    await call("POST", "/v3/blueprints/upload", data=form("file"), status=400)


@pytest.mark.anyio
async def test_a_bad_upload_names_every_defect(call: Caller) -> None:
    answer = await call("POST", "/v3/blueprints/upload", data=archive("telemetry: 1"), status=422)
    assert len(answer["errors"]) == 3
    assert {error["code"] for error in answer["errors"]} == {"invalid_blueprint"}


@pytest.mark.anyio
@pytest.mark.parametrize(("form", "key"), [("flat", "id"), ("blueprint_id", "blueprint_id")])
async def test_older_forms_of_the_upload_answer(session: aiohttp.ClientSession, form: str, key: str) -> None:
    async with Simulator(upload_answer=form) as sim:
        answer = await Caller(sim, session)("POST", "/v3/blueprints/upload", data=archive())
        assert answer[key] in sim.world.blueprints


@pytest.mark.anyio
async def test_stock_blueprints_have_names_and_archives(call: Caller) -> None:
    found = (await call("GET", "/v3/blueprints/enapter/battery/latest"))["blueprint"]
    assert found["full_names"] == [{"namespace": "enapter", "name": "battery", "tag": "latest"}]
    data = await call("GET", f"/v3/blueprints/{found['id']}/zip?view=ORIGINAL", token="")
    assert read_archive(data).errors == []
    await call("GET", "/v3/blueprints/enapter/nothing/latest", status=404)


@pytest.mark.anyio
async def test_device_profiles(call: Caller) -> None:
    data = write_archive({"profiles/mine.yml": b"x"})
    assert await call("POST", "/v3/blueprints/upload_device_profiles", data=data) == {}
    for path in ("device_profiles/download", "download_device_profiles"):
        assert await call("GET", f"/v3/blueprints/{path}") == data
    await call("POST", "/v3/blueprints/upload_device_profiles", data=b"x", status=422)
