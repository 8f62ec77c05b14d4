"""Examples of every command, for its help and for the reference page."""

from __future__ import annotations

from typing import Final

_SITE: Final = "bcae7834-b29c-4b8b-9c1c-7238f889e773"
_BLUEPRINT: Final = "0f1c8b4e-4c0f-4c12-a3c5-9a6cf7f0c5b1"
_EXECUTION: Final = "5d1f6a53-6a6d-4f0e-9d5c-2f6a7b8c9d0e"
_HARDWARE: Final = "0123456789ABCDEF0123456789ABCDEF"

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "collect": (
        "--to telemetry.sqlite",
        "--to telemetry.sqlite --attributes all --interval 10s",
        "--simulate 20 --for 15s --to telemetry.sqlite",
    ),
    "gaps list": ("telemetry.sqlite", "telemetry.sqlite --output json"),
    "gaps repair": ("telemetry.sqlite",),
    "export": ("--to history.parquet --from 30d", "--to soc.csv --device battery-1 --attribute soc --granularity 1h"),
    "plot": ("battery-1 soc power --from 7d", "battery-1 soc --output soc.png"),
    "simulate": ("--devices 6", "--mode gateway --rate-limit 10"),
    "doctor": ("", "--profile lab"),
    "completion": ("bash", "powershell"),
    "api": (
        "GET v3/devices --field limit=3",
        'GET "v3/devices?expand=manifest" --paginate --output jsonl',
        "POST v3/sites --field name=Pier --field timezone=Europe/Lisbon",
    ),
    "sites list": ("", "--name Pier"),
    "sites get": ("", _SITE),
    "sites create": ("--name Pier --timezone Europe/Lisbon --latitude 38.7 --longitude -9.1",),
    "sites update": (f"{_SITE} --name Quay",),
    "sites delete": (_SITE,),
    "devices list": ("", "--expand manifest --output json", f"--site {_SITE} --output csv"),
    "devices get": ("battery-1", f"battery-1 --site {_SITE} --expand manifest --output json"),
    "devices manifest": ("battery-1",),
    "devices update": ("battery-1 --name 'Battery in the cellar'",),
    "devices delete": ("battery-1",),
    "devices assign-blueprint": (f"battery-1 {_BLUEPRINT}",),
    "devices communication-config": ("my-meter --to my-meter.json",),
    "devices terminal": ("gateway-1 --to terminal.json",),
    "commands list": ("battery-1 --since 1h", f"--site {_SITE} --state error --since 7d"),
    "commands get": (f"battery-1 {_EXECUTION} --log",),
    "commands run": ("battery-1 set_power_limit limit_kw=5", "battery-1 enable --yes --timeout 30s"),
    "commands start": ("battery-1 set_power_limit limit_kw=5",),
    "commands wait": (f"battery-1 {_EXECUTION}",),
    "properties get": ("battery-1",),
    "configuration get": ("battery-1 connection",),
    "configuration set": ("battery-1 connection unit_id=7 --reset timeout",),
    "configuration reset": ("battery-1 connection",),
    "logs list": ("battery-1 --since 2h --severity warning", "battery-1 --follow --output jsonl"),
    "telemetry latest": ("battery-1", "battery-1 soc power --follow"),
    "provisioning standalone": ("--name 'My meter' --slug my-meter",),
    "provisioning vucm": (f"--name 'Virtual UCM' --hardware-id V{_HARDWARE}",),
    "provisioning lua-device": (f"--name Meter --runtime-id {_EXECUTION} --blueprint-id {_BLUEPRINT}",),
    "provisioning ucm": (f"--name UCM --hardware-id {_HARDWARE} --to ucm.json",),
    "blueprints get": (_BLUEPRINT,),
    "blueprints find": ("inverter",),
    "blueprints validate": ("meter",),
    "blueprints upload": ("meter",),
    "blueprints download": (f"{_BLUEPRINT} meter.zip",),
    "blueprints upload-profiles": ("profiles",),
    "blueprints download-profiles": ("profiles.zip",),
    "rules list": ("", f"--site {_SITE}"),
    "rules get": ("night-charge",),
    "rules create": ("--slug night-charge --script night-charge.lua",),
    "rules rename": ("night-charge day-charge",),
    "rules update-script": ("night-charge --script night-charge.lua",),
    "rules enable": ("night-charge peak-shaving",),
    "rules disable": ("night-charge",),
    "rules delete": ("night-charge --yes",),
    "rules log": ("night-charge",),
    "rule-engine get": ("", f"--site {_SITE}"),
    "rule-engine suspend": ("",),
    "rule-engine resume": ("--yes",),
}
"""Arguments by command."""


def example_lines(command: str) -> list[str]:
    """Return whole lines with a command and its arguments."""
    return [f"enapter-async {command} {arguments}".rstrip() for arguments in EXAMPLES.get(command, ())]


def help_epilog(command: str) -> str | None:
    """Return the end of a command's help."""
    lines = example_lines(command)
    return "\n\n".join(("Examples:", *lines)) if lines else None  # a paragraph is a line there
