"""The page with all programs of examples/, made of their docstrings.

`python -m tests.docs.test_examples_page` writes it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
PAGE: Final = ROOT / "docs" / "examples.md"
HEAD: Final = """\
# Examples

Complete programs that you can copy, each with its source and the pages that explain it. They are in the folder
`examples` of the repository. Each one reads `ENAPTER_HTTP_API_TOKEN` and `ENAPTER_HTTP_API_BASE_URL`. To try one
without hardware, start the simulator first, as [the tutorial](tutorial.md#1-start-the-simulator) does.
"""
TAIL: Final = """
## Configuration files

| file | content | explained in |
|---|---|---|
| `enapter-collect.service` | a hardened systemd unit for `enapter-async collect` | [Run a collector as a service](how-to/run-as-a-service.md#systemd) |
| `enapter-alerts.yml` | alert rules for Prometheus | [Run a collector as a service](how-to/run-as-a-service.md#metrics) |
"""  # noqa: E501 - a row of a table


class Example(NamedTuple):
    """A program, its heading, and the pages that explain it, with their titles."""

    program: str
    title: str
    pages: dict[str, str]


ORDER: Final = (
    Example(
        "fastapi_service.py",
        "Serve devices and live telemetry with FastAPI",
        {"how-to/web.md": "Build a web application"},
    ),
    Example(
        "telegram_bot.py",
        "Run a Telegram bot",
        {"how-to/bots.md": "Write a bot", "how-to/commands.md": "Send commands safely"},
    ),
    Example("follow_site_logs.py", "Follow the logs of a site", {"how-to/live.md": "Follow telemetry and logs"}),
    Example("deploy_rule.py", "Deploy a rule", {"how-to/provision.md": "Add a device, deploy a rule"}),
    Example("provision_standalone.py", "Provision a device", {"how-to/provision.md": "Add a device, deploy a rule"}),
    Example(
        "export_on_dask.py",
        "Export history on a dask cluster",
        {
            "how-to/history.md": "Read history in a program",
            "how-to/several-processes.md": "Run several processes",
        },
    ),
)


def page() -> str:
    """Return the page as it has to be."""
    return HEAD + "".join(map(section, ORDER)) + TAIL


def section(example: Example) -> str:
    """Return heading, description, commands and links of a program; a hook of the site adds its source."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / example.program).read_text("utf-8")))
    assert docstring is not None
    parts = [
        f"```shell\n{textwrap.dedent(part)}\n```" if part.startswith("    ") else part
        for part in re.split(r"\n\n", docstring)
    ]
    links = ", ".join(f"[{title}]({target})" for target, title in example.pages.items())
    return (
        "\n"
        + "\n\n".join([f"## {example.title}", *parts, f"See {links}.", f"<!-- source: {example.program} -->"])
        + "\n"
    )


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m tests.docs.test_examples_page"


def test_every_program_is_on_the_page() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {example.program for example in ORDER}


def test_every_file_is_in_the_list_of_the_folder() -> None:
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file() and f"`{path.name}`" not in listed] == [
        "README.md"
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
