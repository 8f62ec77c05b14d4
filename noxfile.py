"""Every check of the project; `nox` runs the ones that CI runs, `nox -l` lists all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "lowest", "peer", "schemathesis", "docs", "build"]
nox.options.stop_on_first_error = False

ROOT = Path(__file__).parent
CODE = ("enapter_async", "tests", "benchmarks", "examples", "noxfile.py")
PEER = "enapter==0.25.0"
_WITH_SBIN = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy and pyright, both strict."""
    session.install("-e", ".[dev,all]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests on the newest dependencies, README snippets and examples among them."""
    session.install("-e", ".[dev,all]")
    # One after the other: commands, chaos and servers in processes of their own share the machine with the tests.
    # Where cores are free, `nox -s tests -- -n 2` takes half the time.
    session.run("pytest", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The unit, contract and fault tests on the lowest versions that pyproject.toml allows."""
    session.install("-e", ".[dev,all]")
    session.install(*_lowest())
    folders = ("tests/unit", "tests/contract", "tests/faults")
    session.run("pytest", "-q", "-n", "2", "--dist", "loadfile", *folders, *session.posargs)


@nox.session
def peer(session: nox.Session) -> None:
    """The vendor's own SDK, unchanged, against the simulator; results compared with ours."""
    session.install("-e", ".[dev,all]", PEER)
    session.run("pytest", "tests/peer", *session.posargs)
    session.run("python", "tests/simulator/peer_calls.py")


@nox.session
def schemathesis(session: nox.Session) -> None:
    """A third party's generator of requests against the simulator; SCHEMATHESIS_EXAMPLES sets how many."""
    session.install("-e", ".[dev,all]", "schemathesis>=4.4")
    session.run("pytest", "tests/simulator/test_simulator_schemathesis.py", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The examples and the README's snippets, executed against the simulator."""
    session.install("-e", ".[dev,all]")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def dask(session: nox.Session) -> None:
    """The export on dask.distributed, with a worker that is killed half-way."""
    session.install("-e", ".[dev,all,dask]")
    session.run("pytest", "tests/docs/test_export_on_dask.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, without warnings; `nox -s docs -- serve` shows it."""
    session.install(
        "-e", ".", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.27", "ruff>=0.17"
    )  # ruff breaks long signatures
    environment = {"NO_MKDOCS_2_WARNING": "1"}
    if session.posargs:
        session.run("mkdocs", *session.posargs, env=environment)
    else:
        site = str(Path(session.create_tmp()) / "site")
        session.run("mkdocs", "build", "--strict", "--site-dir", site, env=environment)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of all tests."""
    session.install("-e", ".[dev,all]", "coverage[toml]>=7.6")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "report")


@nox.session
def chaos(session: nox.Session) -> None:
    """Ten minutes (`-- --seconds N` or `-- --requests N`) of faults of all kinds; every change is accounted for."""
    session.install("-e", ".[dev,all]")
    session.run("python", "-W", "error", "-m", "tests.chaos.run", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Everything that parses what a server sends, against damaged answers; `-- N` examples of each test."""
    session.install("-e", ".[dev,all]")
    examples = session.posargs[0] if session.posargs else "100"
    session.run(
        "pytest", "-q", "-x", "--hypothesis-profile=random", "tests/fuzz", env={"ENAPTER_FUZZ_EXAMPLES": examples}
    )


@nox.session
def properties(session: nox.Session) -> None:
    """The tests that hold for any input, on inputs that differ in each run; what fails becomes an example."""
    session.install("-e", ".[dev,all]")
    session.run("pytest", "--hypothesis-profile=random", "-m", "hypothesis", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist: checked, the same when built again, and tried in empty environments, lowest and newest."""
    session.install("build>=1.2", "twine>=6")
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    shutil.rmtree(folder / "again", ignore_errors=True)
    # Times in archives would make each build another one; this is the time of the last commit, else a fixed one.
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _commit_time() or "1700000000"
    for target in ("dist", "again"):
        session.run(
            "python", "-m", "build", "--outdir", str(folder / target), env={"SOURCE_DATE_EPOCH": epoch}, silent=True
        )
    artefacts = sorted((folder / "dist").iterdir())
    session.run("twine", "check", "--strict", *map(str, artefacts))
    for artefact in artefacts:
        if artefact.read_bytes() != (folder / "again" / artefact.name).read_bytes():
            session.error(f"{artefact.name} is another one when built again")
    wheel = next(path for path in artefacts if path.suffix == ".whl")
    _check_contents(session, wheel, next(path for path in artefacts if path.suffix == ".gz"))
    for name, bounds in (("newest", []), ("lowest", _lowest())):
        environment = folder / name
        session.run("python", "-m", "venv", "--clear", str(environment))
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        session.run(str(python), "-m", "pip", "install", "--quiet", str(wheel), *bounds, external=True)
        with session.chdir(folder):  # not beside the sources: what is imported is the wheel
            session.run(str(python), "-W", "error", str(ROOT / "tests" / "smoke.py"), external=True)
    for artefact in artefacts:
        session.log(f"{artefact} {artefact.stat().st_size} bytes")


def _lowest() -> list[str]:
    """Pin the dependencies to the lowest versions that pyproject.toml allows."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    return [text.replace(">=", "==") for text in project["dependencies"]]


def _commit_time() -> str:
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _check_contents(session: nox.Session, wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    foreign = {name for name in inside if not re.match(r"enapter_async(-[^/]+\.dist-info)?/", name)}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "enapter_async").rglob("*.py")}
    expected = sources | {"enapter_async/py.typed"}
    if foreign or not expected <= inside:
        session.error(f"the wheel holds {sorted(foreign)} and lacks {sorted(expected - inside)}")
    licence, entry_points = "licenses/LICENSE", "entry_points.txt"
    for wanted in (licence, entry_points):
        if not any(name.endswith(f".dist-info/{wanted}") for name in inside):
            session.error(f"the wheel has no {wanted}")
    with tarfile.open(sdist) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    expected = sources | {"tests/smoke.py", "noxfile.py", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
    if not expected <= names:
        session.error(f"the sdist lacks {sorted(expected - names)}")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, beside bare aiohttp and the vendor's SDK; prints tables, never fails on a figure."""
    session.install("-e", ".[dev,all]", PEER)
    _install_servers(session)
    session.run("python", "-m", "benchmarks", *session.posargs)


def _install_servers(session: nox.Session) -> None:
    """Install Debian's nginx and Redis where that can be done; the parts that need them are left out elsewhere."""
    packages = {"nginx": "nginx-light", "redis-server": "redis-server"}
    missing = [package for command, package in packages.items() if not shutil.which(command, path=_WITH_SBIN)]
    if missing and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        session.run("apt-get", "update", "-qq", external=True, silent=True)
        session.run("apt-get", "install", "-y", "-qq", *missing, external=True, silent=True)
