"""Questions that users ask: each is answered under a heading that takes two clicks or one search to find.

The search is a simple model of that of the site: it ranks sections by how rare the words are and where they are found.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from pages import ROOT, without_code

DOCS: Final = ROOT / "docs"
MOST_CLICKS: Final = 2
SHOWN: Final = 5
"""Results that a reader looks at."""

QUESTIONS: Final = [
    # question, heading that answers it, words that a reader searches for
    ("How do I install the command?", "install.md#install", "install command"),
    ("Which extra do I need?", "install.md#extras", "extras"),
    ("How do I page through a list?", "explanation/lists.md#how-pages-are-fetched", "list pages"),
    ("How do I get the first ten items only?", "explanation/lists.md#limit-a-list", "limit list items"),
    ("What happens on a 429?", "explanation/rate-limiting.md#what-happens-on-a-429", "429"),
    ("Which exception do I catch for a bad token?", "explanation/errors.md#choose-by-situation", "catch token"),
    ("What are all exceptions?", "explanation/errors.md#the-exception-tree", "exception tree"),
    ("How do I renew an expired token?", "how-to/authenticate.md#renew-the-token", "renew token"),
    ("How do I collect alerts?", "how-to/collect.md#collect-alerts", "collect alerts"),
    ("What happens to data that the collector missed?", "how-to/collect.md#gaps", "gaps"),
    ("How do I send a command safely?", "how-to/commands.md#send-commands-safely", "send command"),
    ("Did my command run?", "how-to/commands.md#when-the-outcome-is-unknown", "outcome unknown"),
    ("Is a failed call retried?", "explanation/retries.md#safety-classes", "retried safety"),
    ("How do I set a timeout?", "explanation/deadlines.md#deadlines-and-timeouts", "timeouts"),
    ("How do I run behind a proxy?", "how-to/network.md#use-a-proxy", "proxy"),
    ("How do I trust the certificate of a Gateway?", "how-to/gateway.md#use-https", "gateway certificate"),
    ("How do I call an endpoint without a method?", "how-to/requests.md#call-an-endpoint-without-a-method", "endpoint"),
    (
        "How do I read the headers of a response?",
        "how-to/requests.md#read-the-status-and-the-headers",
        "headers status",
    ),
    ("Why is a field None?", "how-to/troubleshoot.md#nonetype-object-has-no-attribute-on-a-device", "NoneType"),
    ("How do I use it from Flask or Django?", "how-to/blocking.md#flask-django-and-other-wsgi-applications", "Flask"),
    ("How do I share a session in Home Assistant?", "how-to/web.md#home-assistant", "Home Assistant"),
    (
        "Which HTTP status do I return for an error?",
        "how-to/web.md#map-errors-to-http-responses",
        "errors HTTP responses",
    ),
    (
        "How do several processes share a limit?",
        "how-to/several-processes.md#run-several-processes-on-one-token",
        "several processes",
    ),
    ("How do I follow logs live?", "how-to/live.md#follow-logs", "follow logs"),
    ("How do I get a DataFrame?", "how-to/dataframes.md#get-dataframes", "pandas dataframes"),
    ("How do I resume an export?", "how-to/export.md#resume-an-export", "resume export"),
    ("How do I simulate a failure in a test?", "how-to/testing.md#simulate-faults", "simulate faults"),
    ("How do I trace calls with OpenTelemetry?", "how-to/observe.md#use-opentelemetry", "OpenTelemetry"),
    ("How do I run a collector under systemd?", "how-to/run-as-a-service.md#systemd", "systemd"),
    ("What does exit code 8 mean?", "how-to/command-line.md#exit-codes", "exit codes"),
    ("How do I deploy a rule?", "examples.md#deploy-a-rule", "deploy rule"),
    ("Which Python versions are supported?", "explanation/compatibility.md#python-version-policy", "python version"),
    ("Which role does my token need?", "reference/operations.md#operations-requests-safety-classes-and-roles", "roles"),
    ("What replaces a call of the vendor's SDK?", "how-to/migrate.md#calls-side-by-side", "vendor calls"),
]

_HEADING: Final = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s#]+\.md)")


class Section(NamedTuple):
    """A heading with its page, and the words in both and below."""

    address: str
    page: Counter[str]
    heading: Counter[str]
    text: Counter[str]


def words(text: str) -> Counter[str]:
    """Return words without their endings, so that singular and plural are the same."""
    return Counter(re.sub(r"(?:ies|es|s|y|e)$", "", word) for word in re.findall(r"[a-z0-9]+", text.lower()))


def slug(heading: str) -> str:
    """Return the anchor that the site makes of a heading."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


@cache
def sections() -> list[Section]:
    found: list[Section] = []
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text("utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        headings = list(_HEADING.finditer(prose))
        ends = [*(heading.start() for heading in headings[1:]), len(prose)]
        for heading, end in zip(headings, ends, strict=True):
            address = f"{path.relative_to(DOCS).as_posix()}#{slug(heading[2])}"
            title = words(headings[0][2])
            found.append(Section(address, title, words(heading[2]), words(prose[heading.end() : end])))
    return found


def search(query: str) -> list[str]:
    """Return the addresses of the sections in which all words are, best first."""
    wanted = words(query)
    everything = sections()
    scores: dict[str, float] = {}
    for section in everything:
        own = section.page + section.heading + section.text
        if all(word in own for word in wanted):
            scores[section.address] = sum(
                math.log(len(everything) / sum(word in other.heading + other.text for other in everything))
                * (3 * (word in section.page) + 10 * (word in section.heading) + section.text[word] ** 0.5)
                for word in wanted
            )
    return sorted(scores, key=lambda address: -scores[address])


def links(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in _LINK.findall(without_code(page))}


def within_reach() -> set[Path]:
    """Return the pages that some clicks on links lead to, without the navigation."""
    reached = {DOCS / "index.md"}
    for _ in range(MOST_CLICKS):
        reached |= {target for page in reached for target in links(page)}
    return reached


@pytest.mark.parametrize(("question", "answer", "query"), QUESTIONS)
def test_a_question_has_an_answer_that_is_found(question: str, answer: str, query: str) -> None:
    assert answer in {section.address for section in sections()}, f"no heading answers: {question}"
    assert DOCS / answer.partition("#")[0] in within_reach(), f"no two clicks lead to the answer: {question}"
    assert answer in search(query)[:SHOWN], f"{question} A search for {query!r} finds {search(query)[:SHOWN]}"


def test_every_page_is_within_reach() -> None:
    assert {path for path in DOCS.rglob("*.md") if path not in within_reach()} == set()
