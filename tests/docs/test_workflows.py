"""What can be told of the workflows without GitHub: versions, sessions, permissions, and what guards a release."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
LOCK = ROOT / ".ci" / "constraints.txt"
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


def requirements() -> list[Requirement]:
    """Return what the project, its extras and its groups ask for."""
    groups = [
        PROJECT["dependencies"],
        *PROJECT["optional-dependencies"].values(),
        *PYPROJECT["dependency-groups"].values(),
    ]
    return [Requirement(text) for group in groups for text in group if isinstance(text, str)]


def guard() -> str:
    """Return the script that compares tag, version and changelog."""
    (step,) = (step for step in jobs("release")["check"]["steps"] if "changelog" in step.get("name", ""))
    return str(step["run"])


def test_every_supported_python_is_tested() -> None:
    classified = [
        found[1] for text in PROJECT["classifiers"] if (found := re.fullmatch(r"Programming .* :: (3\.\d+)", text))
    ]
    assert jobs("ci")["tests"]["strategy"]["matrix"]["python"] == classified
    assert PROJECT["requires-python"] == f">={classified[0]}"


def test_only_what_has_been_run_is_claimed() -> None:
    matrix = jobs("ci")["tests"]["strategy"]["matrix"]
    claimed = (ROOT / "docs" / "explanation" / "compatibility.md").read_text("utf-8")
    assert all(entry["experimental"] for entry in matrix["include"])
    assert matrix["os"] == ["ubuntu-latest"]
    assert [text for text in PROJECT["classifiers"] if "Operating System" in text] == [
        "Operating System :: POSIX :: Linux"
    ]
    assert "3.14 has not been tested" in claimed
    assert "macOS, Windows and ARM have not been tested" in claimed


def test_tools_of_development_are_groups_and_not_in_the_metadata() -> None:
    assert not {"dev", "dask", "docs", "test"} & set(PROJECT["optional-dependencies"])
    assert {"dev", "dask", "lint", "test"} <= set(PYPROJECT["dependency-groups"])
    names = {text for group in PYPROJECT["dependency-groups"].values() for text in group if isinstance(text, str)}
    # A group that named the project would make pip look for it on PyPI.
    assert not [name for name in names if canonicalize_name(Requirement(name).name) == PROJECT["name"]]


def test_the_lock_file_has_a_version_that_fits_each_requirement() -> None:
    locked = [Requirement(line) for line in LOCK.read_text("utf-8").splitlines() if not line.startswith("#")]
    for wanted in requirements():
        name = canonicalize_name(wanted.name)
        versions = [specifier.version for each in locked if each.name == name for specifier in each.specifier]
        assert versions or name == PROJECT["name"], f"{wanted} is not locked: nox -s lock"
        assert all(wanted.specifier.contains(version) for version in versions), f"{wanted} has changed: nox -s lock"


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(path: Path) -> None:
    uses = re.findall(r"uses: *(.*)", path.read_text("utf-8"))
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_one_action_has_one_version() -> None:
    pinned = {line for path in WORKFLOWS.glob("*.yml") for line in re.findall(r"uses: *(.*)", path.read_text("utf-8"))}
    assert len(pinned) == len({line.partition("@")[0] for line in pinned})


def test_what_is_published_is_built_where_nothing_else_has_run() -> None:
    build, *others = (jobs("release")[name] for name in ("build", "check", "try"))
    runs = [step["run"] for step in build["steps"] if "run" in step]
    assert runs == ["python -m pip install --constraint .ci/constraints.txt nox uv", "nox -s build"]
    assert "needs" not in build
    uploads = [
        step["with"]["name"] for job in others for step in job["steps"] if "upload-artifact" in step.get("uses", "")
    ]
    assert "dist" not in uploads
    assert set(jobs("release")["attest"]["needs"]) == {"check", "build", "try"}


def test_a_commit_runs_the_session_lint() -> None:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (hook,) = (hook for repository in configuration["repos"] for hook in repository["hooks"])
    assert re.fullmatch(r"nox .*-s lint", hook["entry"])


@pytest.mark.skipif(sys.platform == "win32", reason="services are installed on Debian only")
def test_a_package_that_cannot_be_installed_keeps_no_other_out_and_starts_nothing(tmp_path: Path) -> None:
    log, policy = tmp_path / "log", tmp_path / "policy-rc.d"
    commands = {
        "id": "echo 0",
        # 101 is Debian's word for "do not start it".
        "apt-get": f'{policy}; echo "$? $*" >> {log}; case "$*" in *chromium*) exit 100;; esac',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("chmod", "rm"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))

    done = subprocess.run(
        ["/bin/bash", str(ROOT / ".ci" / "install-services"), "valgrind", "chromium", "prometheus"],
        env={"PATH": str(tmp_path), "POLICY_RC_D": str(policy)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "chromium could not be installed: its tests are skipped\n"
    installs = [line.split() for line in log.read_text().splitlines() if " install " in line]
    assert [words[-1] for words in installs[1:]] == ["valgrind", "chromium", "prometheus"]
    assert all(words[0] == "101" and "--no-install-recommends" in words for words in installs)
    assert not policy.exists()


@pytest.mark.parametrize("name", ["ci", "docs", "release"])
def test_the_sessions_exist(name: str) -> None:
    sessions = set(re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    text = (WORKFLOWS / f"{name}.yml").read_text("utf-8")
    named = {word for line in re.findall(r"nox -s ([\w ]+)", text) for word in line.split()}
    named |= {word for entry in jobs("ci")["checks"]["strategy"]["matrix"]["session"] for word in entry.split()}
    assert named <= sessions


def test_no_secret_is_used_and_each_job_may_do_one_thing() -> None:
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text("utf-8")
    permissions = {name: set(job["permissions"].items()) for name, job in jobs("release").items()}
    assert permissions == {
        "check": {("contents", "read")},
        "build": {("contents", "read")},
        "try": {("contents", "read")},
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
