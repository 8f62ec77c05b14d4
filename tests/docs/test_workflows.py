"""What can be told of the workflows without GitHub: versions, sessions, permissions, and what guards a release."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CHANGELOG = """# Changelog

## 1.2.4 (unreleased)

- next

## 1.2.3 (2026-03-14)

### Added

- this

## 1.2.2 (2026-03-01)

- before
"""


def jobs(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text("utf-8"))
    return workflow["jobs"]  # type: ignore[no-any-return]


def guard() -> str:
    """Return the script that compares tag, version and changelog."""
    (step,) = (step for step in jobs("release")["build"]["steps"] if "changelog" in step.get("name", ""))
    return str(step["run"])


def test_every_supported_python_is_tested() -> None:
    classified = [
        found[1] for text in PROJECT["classifiers"] if (found := re.fullmatch(r"Programming .* :: (3\.\d+)", text))
    ]
    assert jobs("ci")["tests"]["strategy"]["matrix"]["python"] == classified
    assert PROJECT["requires-python"] == f">={classified[0]}"


@pytest.mark.parametrize("name", ["ci", "docs", "release"])
def test_the_sessions_exist(name: str) -> None:
    sessions = set(re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    text = (WORKFLOWS / f"{name}.yml").read_text("utf-8")
    named = {word for line in re.findall(r"nox -s ([\w ]+)", text) for word in line.split()}
    named |= set(jobs("ci")["checks"]["strategy"]["matrix"]["session"])
    assert named <= sessions


def test_no_secret_is_used_and_each_job_may_do_one_thing() -> None:
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text("utf-8")
    permissions = {name: set(job["permissions"].items()) for name, job in jobs("release").items()}
    assert permissions == {
        "build": {("contents", "read")},
        "attest": {("id-token", "write"), ("attestations", "write"), ("artifact-metadata", "write")},
        "publish": {("id-token", "write")},
        "announce": {("contents", "write")},
    }
    assert jobs("release")["publish"]["environment"]["name"] == "pypi"


@pytest.mark.skipif(sys.platform == "win32", reason="the release is made on Linux")
@pytest.mark.parametrize(
    ("tag", "version", "complaint"),
    [
        ("v1.2.3", "1.2.3", ""),
        ("v1.2.4", "1.2.3", "the tag is v1.2.4, the version 1.2.3"),
        ("v1.2.4", "1.2.4", "no section 1.2.4 with a date"),
        ("v1.2", "1.2", "no section 1.2 with a date"),
        ("v1x2.3", "1x2.3", "no section 1x2.3 with a date"),
    ],
)
def test_what_is_released_has_its_tag_and_its_changes(tmp_path: Path, tag: str, version: str, complaint: str) -> None:
    (tmp_path / "enapter_async").mkdir()
    (tmp_path / "enapter_async" / "__init__.py").write_text(f'__all__ = ()\n__version__ = "{version}"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)

    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", guard()],
        cwd=tmp_path,
        env={"TAG": tag, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) == (not complaint), done.stderr
    assert complaint in done.stdout
    if not complaint:
        assert (tmp_path / "notes.md").read_text() == "\n### Added\n\n- this\n\n"
