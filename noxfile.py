"""Every check of the project; `nox` runs the ones that CI runs, `nox -l` lists all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = [
    "lint",
    "types",
    "tests",
    "lowest",
    "peer",
    "foreign",
    "schemathesis",
    "pytest_asyncio",
    "docs",
    "instructions",
    "build",
    "distribution",
]
nox.options.stop_on_first_error = False

ROOT = Path(__file__).parent
LEAST_TYPED = 99.5
"""Percentage of public symbols whose types pyright --verifytypes must know."""
DIST = ROOT / "dist"
CODE = ("enapter_async", "tests", "benchmarks", "examples", "noxfile.py")
LOWEST = ("unit", "models", "protocol", "transport", "streaming", "contract", "faults")
"""Rooms of `tests` that run on the lowest versions, too."""
SIDE_BY_SIDE = (
    *LOWEST,
    "docs",
    "exporter",
    "fuzz",
    "integrations",
    "plugin",
    "property",
    "resources",
    "rows",
    "simulator",
    "typing",
)
"""Rooms of `tests` that run in two processes. In the others times matter, so they run one after the other."""
EXTRAS = "all,redis"
PYPROJECT = nox.project.load_toml("pyproject.toml")
LOCK = Path(".ci", "constraints.txt")
_LOCKED = () if os.environ.get("NEWEST_DEPENDENCIES") else ("-c", str(LOCK))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the security of the workflows."""
    session.install(*_group("lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    session.run("zizmor", "--offline", "--quiet", "--persona", "pedantic", "--min-severity", "medium", ".github")


@nox.session
def lock(session: nox.Session) -> None:
    """Update the versions that all sessions install to the newest that fit together."""
    session.install(*_group("ci"))
    groups = [argument for name in PYPROJECT["dependency-groups"] for argument in ("--group", name)]
    session.run(
        *("uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11", "--all-extras", *groups),
        *("--upgrade", "--no-annotate", "--custom-compile-command", "nox -s lock", "--output-file", str(LOCK)),
        silent=True,
    )


@nox.session
def types(session: nox.Session) -> None:
    """Mypy and pyright, both strict."""
    _install(session)
    session.run("mypy")
    session.run("pyright")
    report = session.run(
        "pyright", "--verifytypes", "enapter_async", "--ignoreexternal", silent=True, success_codes=[0, 1]
    )
    score = re.search(r"Type completeness score: ([0-9.]+)%", str(report))
    if score is None or float(score[1]) < LEAST_TYPED:
        session.error(f"types are not complete, {LEAST_TYPED} % are wanted:\n{report}")
    session.log(score[0])


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, README snippets and examples among them; NEWEST_DEPENDENCIES=1 leaves the lock file aside."""
    _install(session)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    others = [f"--ignore={folder}" for folder in _folders(SIDE_BY_SIDE)]
    failed = 0
    for arguments in (["-n", "2", "--dist", "loadfile", *_folders(SIDE_BY_SIDE)], others):
        try:
            session.run("pytest", *arguments)
        except CommandFailed:  # the other part runs all the same
            failed += 1
    if failed:
        session.error("tests failed")


@nox.session
def lowest(session: nox.Session) -> None:
    """The unit, contract and fault tests on the lowest versions that pyproject.toml allows."""
    _install(session)
    session.install(*_lowest())
    session.run("pytest", "-q", "-n", "2", "--dist", "loadfile", *_folders(LOWEST), *session.posargs)


@nox.session
def peer(session: nox.Session) -> None:
    """The vendor's own SDK, unchanged, against the simulator; results compared with ours."""
    _install(session, "peer")
    session.run("pytest", "tests/peer", *session.posargs)


@nox.session
def foreign(session: nox.Session) -> None:
    """The vendor's own clients, unchanged, against the simulator: in its three modes, over http and over https.

    They are what can be installed from a registry: the Python SDK (`enapter` on PyPI), of which every method is called,
    and its command line (`python -m enapter http api`), of which every command is run. PyPI and npm have no other
    client of the vendor's. The Go command line, the MCP server, the Grafana plugin and the editor extension are on
    GitHub only; tests/simulator/test_simulator_foreign_clients.py holds what is known of their needs.
    """
    _install(session, "peer")
    session.run("pytest", "tests/foreign", *session.posargs)
    session.run("python", "tests/simulator/peer_calls.py")


@nox.session
def schemathesis(session: nox.Session) -> None:
    """A third party's generator of requests against the simulator; SCHEMATHESIS_EXAMPLES sets how many."""
    _install(session, "schemathesis")
    session.run("pytest", "tests/simulator/test_simulator_schemathesis.py", *session.posargs)


@nox.session
def pytest_asyncio(session: nox.Session) -> None:
    """The pytest plugin beside pytest-asyncio, in each of its modes; NEWEST_DEPENDENCIES=1 tries its newest version."""
    _install(session, "asyncio-plugin")
    # It stays out of our own tests. The projects that these tests make have it.
    session.run("pytest", "-p", "no:asyncio", "-n", "2", "tests/plugin", "tests/web", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The examples and the README's snippets, executed against the simulator."""
    _install(session)
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def dask(session: nox.Session) -> None:
    """The export on dask.distributed, with a worker that is killed half-way."""
    _install(session, "dask")
    session.run("pytest", "tests/docs/test_export_on_dask.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, without warnings; `nox -s docs -- serve` shows it."""
    session.install("-e", ".", *_group("docs"))
    environment = {"NO_MKDOCS_2_WARNING": "1"}
    if session.posargs:
        session.run("mkdocs", *session.posargs, env=environment)
    else:
        site = str(Path(session.create_tmp()) / "site")
        session.run("mkdocs", "build", "--strict", "--site-dir", site, env=environment)


@nox.session
def versioned_docs(session: nox.Session) -> None:
    """Commit the site of this version to the local branch gh-pages, beside the other versions; options go to mike."""
    session.install("-e", ".", *_group("docs"))
    version = str(session.run("python", "-c", "import enapter_async as e; print(e.__version__)", silent=True)).strip()
    environment = {"NO_MKDOCS_2_WARNING": "1"}
    if "dev" in version:
        session.run("mike", "deploy", *session.posargs, "dev", env=environment)
    else:
        minor = ".".join(version.split(".")[:2])
        session.run("mike", "deploy", "--update-aliases", *session.posargs, minor, "latest", env=environment)
        session.run("mike", "set-default", *session.posargs, "latest", env=environment)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of all tests."""
    _install(session, "coverage")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "report")


@nox.session
def chaos(session: nox.Session) -> None:
    """Ten minutes (`-- --seconds N` or `-- --requests N`) of faults of all kinds; every change is accounted for."""
    _install(session)
    session.run("python", "-W", "error", "-m", "tests.chaos.run", *session.posargs)


@nox.session(name="collector-chaos")
def collector_chaos(session: nox.Session) -> None:
    """Kills, outages and full disks, ten minutes each (`-- --seconds N`), with SQLite and PostgreSQL."""
    _install(session)
    session.run("python", "-W", "error", "-m", "tests.chaos.collector", *session.posargs)
    session.run("python", "-W", "error", "-m", "tests.chaos.collector_postgres", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Everything that parses what a server sends, against damaged answers; `-- N` examples of each test."""
    _install(session)
    examples = session.posargs[0] if session.posargs else "100"
    session.run(
        "pytest", "-q", "-x", "--hypothesis-profile=random", "tests/fuzz", env={"ENAPTER_FUZZ_EXAMPLES": examples}
    )


@nox.session
def properties(session: nox.Session) -> None:
    """The tests that hold for any input, on inputs that differ in each run; what fails becomes an example."""
    _install(session)
    session.run("pytest", "--hypothesis-profile=random", "-m", "hypothesis", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist into `dist`: the same when built again, and with the files that belong there."""
    session.install(*_group("build"))
    again = Path(session.create_tmp()).resolve() / "again"
    # Times in archives would make each build another one; this is the time of the last commit, else a fixed one.
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _commit_time() or "1700000000"
    for folder in (DIST, again):
        shutil.rmtree(folder, ignore_errors=True)
        session.run(  # not isolated: hatchling is the locked one
            *("python", "-m", "build", "--no-isolation", "--outdir", str(folder)),
            env={"SOURCE_DATE_EPOCH": epoch},
            silent=True,
        )
    wheel, sdist = _artefacts(DIST)
    for artefact in (wheel, sdist):
        if artefact.read_bytes() != (again / artefact.name).read_bytes():
            session.error(f"{artefact.name} is another one when built again")
        session.log(f"{artefact} {artefact.stat().st_size} bytes")
    _check_contents(session, wheel, sdist)


@nox.session
def distribution(session: nox.Session) -> None:
    """What `build` left in `dist`: its metadata checked, the wheel tried in empty environments, lowest and newest."""
    session.install(*_group("check"))
    wheel, sdist = _artefacts(DIST)
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    folder = Path(session.create_tmp()).resolve()
    for name, bounds in (("newest", []), ("lowest", _lowest())):
        environment = folder / name
        session.run("python", "-m", "venv", "--clear", str(environment))
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        session.run(str(python), "-m", "pip", "install", "--quiet", str(wheel), *bounds, external=True)
        with session.chdir(folder):  # not beside the sources: what is imported is the wheel
            session.run(str(python), "-W", "error", str(ROOT / "tests" / "smoke.py"), external=True)


def _install(session: nox.Session, *groups: str) -> None:
    """Install the package with its extras, what the tests need, and further groups of `pyproject.toml`."""
    session.install("-e", f".[{EXTRAS}]", *_group("test", *groups))


def _folders(rooms: Iterable[str]) -> list[str]:
    return [f"tests/{room}" for room in rooms]


def _group(*names: str) -> tuple[str, ...]:
    """Return the requirements of groups of `pyproject.toml`, in the locked versions."""
    return (*nox.project.dependency_groups(PYPROJECT, *names), *_LOCKED)


def _artefacts(folder: Path) -> tuple[Path, Path]:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def _lowest() -> list[str]:
    """Pin the dependencies to the lowest versions that pyproject.toml allows."""
    return [text.replace(">=", "==") for text in PYPROJECT["project"]["dependencies"]]


def _commit_time() -> str:
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _check_contents(session: nox.Session, wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    foreign = {name for name in inside if not re.match(r"enapter_async(-[^/]+\.dist-info)?/", name)}
    kept = {".py", ".pyi", ".html", ".css", ".js", ".json", ".svg"}
    files = (path for path in (ROOT / "enapter_async").rglob("*") if path.suffix in kept)
    sources = {path.relative_to(ROOT).as_posix() for path in files}
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
    _install(session, "peer")
    session.run(".ci/install-services", "nginx-light", "redis-server", external=True)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def instructions(session: nox.Session) -> None:
    """Instructions of fixed pieces of work, compared with benchmarks/instructions.json; `-- --write --why TEXT`."""
    session.install("-e", ".", *_LOCKED)  # what makes us faster is left out
    session.run(".ci/install-services", "valgrind", external=True)
    session.run("python", "-m", "benchmarks.instructions", *session.posargs)
