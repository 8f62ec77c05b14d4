"""Every check of the project; `nox` runs the ones that CI runs, `nox -l` lists all."""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "lowest", "peer", "docs", "build"]
nox.options.stop_on_first_error = False

ROOT = Path(__file__).parent
CODE = ("enapter_async", "tests", "benchmarks", "examples", "noxfile.py")
PEER = "enapter==0.25.0"


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
    session.run("pytest", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The unit, contract and fault tests on the lowest versions that pyproject.toml allows."""
    bounds = [text.replace(">=", "==") for text in nox.project.load_toml("pyproject.toml")["project"]["dependencies"]]
    session.install("-e", ".[dev,all]")
    session.install(*bounds)
    session.run("pytest", "tests/unit", "tests/contract", "tests/faults", "-q", *session.posargs)


@nox.session
def peer(session: nox.Session) -> None:
    """The vendor's own SDK, unchanged, against the simulator; results compared with ours."""
    session.install("-e", ".[dev,all]", PEER)
    session.run("pytest", "tests/peer", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The examples and the README's snippets, executed against the simulator."""
    session.install("-e", ".[dev,all]")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, without warnings; `nox -s docs -- serve` shows it."""
    session.install("-e", ".", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.27", "ruff>=0.17")  # ruff: breaks long signatures
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
def build(session: nox.Session) -> None:
    """Wheel and sdist; the wheel is imported in an empty environment with the core dependencies only."""
    session.install("build>=1.2", "twine>=6")
    dist = Path(session.create_tmp()) / "dist"
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    artefacts = sorted(str(path) for path in dist.iterdir())
    session.run("twine", "check", "--strict", *artefacts)
    session.run("python", "-m", "venv", "--clear", str(dist / "empty"))
    python = str(dist / "empty" / "bin" / "python")
    wheel = next(path for path in artefacts if path.endswith(".whl"))
    session.run(python, "-m", "pip", "install", "--quiet", wheel, external=True)
    with session.chdir(dist):
        session.run(python, str(ROOT / "tests" / "smoke.py"), external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, beside bare aiohttp and the vendor's SDK; prints tables, never fails on a figure."""
    session.install("-e", ".[all]", PEER)
    session.run("python", "-m", "benchmarks", *session.posargs)
