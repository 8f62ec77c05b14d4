"""`enapter-async api`, which sends a request to any endpoint."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import click

from enapter_async import JSON, UNSET, Page, Pager, Safety, Unset
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.groups import command
from enapter_async.cli.output import Printer, Shape
from enapter_async.cli.parameters import duration, option
from enapter_async.cli.profiles import profile_option
from enapter_async.cli.resources.declaration import argument, connect, limit_option, read_text, without_doubt
from enapter_async.cli.resources.question import ask, yes_option
from enapter_async.cli.resources.values import pairs, read_json

if TYPE_CHECKING:
    from enapter_async import EnapterClient

_METHODS: Final = ("GET", "POST", "PATCH", "PUT", "DELETE")

Query: TypeAlias = list[tuple[str, str]]


@command()
@argument("method", type=click.Choice(_METHODS, case_sensitive=False), metavar="METHOD")
@argument("path", metavar="PATH")
@option(
    "--field",
    "-F",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    help="Query parameter of GET and DELETE, otherwise a field of the JSON body; repeatable.",
)
@option(
    "--input",
    "body",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="JSON file to send as the body; - reads standard input.",
)
@option("--paginate", is_flag=True, help="Fetch all pages of a list and print its items.")
@option(
    "--safety",
    type=click.Choice([one.value for one in Safety]),
    help="Whether the request may be re-sent. [default: read for GET, else unsafe: never]",
)
@option("--timeout", type=duration(0.1), metavar="DURATION", help="How long to wait for the response.")
@option(
    "--output",
    "-o",
    type=click.Choice(("json", "jsonl")),
    default="json",
    show_default=True,
    help="Indented JSON, or one line for the response or each item.",
)
@limit_option
@yes_option
@profile_option
def api(
    *,
    method: str,
    path: str,
    fields: tuple[str, ...],
    body: Path | None,
    paginate: bool,
    safety: str | None,
    timeout: float | None,
    output: Literal["json", "jsonl"],
    limit: int | None,
    yes: bool,
) -> None:
    """Send a request to any endpoint of the API and print the response as JSON, including secrets.

    PATH is relative to the base URL, such as v3/devices or "v3/devices?expand=manifest".

    Before a request that may change something, it asks for confirmation. Such a request is never re-sent unless
    --safety allows it.
    """
    method = method.upper()
    chosen = _choose_safety(safety, method)
    bare, _, text = path.partition("?")
    in_query = method in ("GET", "DELETE")
    query = _query(text, fields if in_query else ())
    content = _body(body, () if in_query else fields)
    if paginate:
        _check_paginated(method, query)
    elif limit is not None:
        raise click.UsageError("--limit works only with --paginate")
    if chosen is not Safety.READ:
        ask(f"Send {method} {bare}?", yes=yes)

    printer = Printer(output, Shape.any())

    async def send(client: EnapterClient) -> None:
        request = client.request(method, bare, query=query, json=content, safety=chosen, timeout=timeout)
        response = await (request if chosen is Safety.READ else without_doubt(request, "check before repeating it"))
        if response is None:
            click.echo("done: the response is empty", err=True)
        else:
            printer.one(response)

    async def send_for_all(client: EnapterClient) -> None:
        await printer.write_all(_items(client, bare, query, limit, timeout))

    connect(send_for_all if paginate else send)


def _choose_safety(name: str | None, method: str) -> Safety:
    if name is not None:
        return Safety(name)
    return Safety.READ if method == "GET" else Safety.UNSAFE


def _check_paginated(method: str, query: Query) -> None:
    if method != "GET":
        raise click.UsageError("--paginate works only with GET")
    if not {"limit", "offset"}.isdisjoint(name for name, _ in query):
        raise click.UsageError("--paginate sets limit and offset itself: leave them out")


def _query(text: str, fields: Iterable[str]) -> Query:
    query = parse_qsl(text, keep_blank_values=True)
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{field!r} is not NAME=VALUE", param_hint="--field")
        query.append((name, value))
    return query


def _body(file: Path | None, fields: Sequence[str]) -> JSON | Unset:
    if file is None:
        return pairs(fields) if fields else UNSET
    if fields:
        raise click.UsageError("--field and --input cannot be used together")
    try:
        return read_json(_read_standard_input() if str(file) == "-" else read_text(file))
    except ValueError as error:
        raise Failure(f"{file} is not JSON: {error}", Exit.USAGE) from error


def _read_standard_input() -> str:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - where it was closed
        raise Failure("standard input is closed", Exit.USAGE)
    return sys.stdin.buffer.read().decode("utf-8-sig")


async def _items(
    client: EnapterClient, path: str, query: Query, limit: int | None, timeout: float | None
) -> AsyncIterator[JSON]:
    """Yield the items of a list. No item with an ID is repeated."""

    async def fetch(offset: int, size: int) -> Page[JSON]:
        page = [("offset", str(offset)), ("limit", str(size))]
        response = await client.request("GET", path, query=[*query, *page], safety=Safety.READ, timeout=timeout)
        return _page(response, offset)

    seen: set[str] = set()
    async for item in Pager(fetch, operation=("client.request", "GET", path), key=None, max_items=limit):
        identity = item.get("id") if isinstance(item, dict) else None
        if isinstance(identity, str):
            if identity in seen:
                continue
            seen.add(identity)
        yield item


def _page(response: JSON, offset: int) -> Page[JSON]:
    lists = [one for one in response.values() if isinstance(one, list)] if isinstance(response, dict) else []
    if len(lists) != 1:
        raise Failure("the response is not a list: leave --paginate out", Exit.FAILED)
    total = response.get("total_count") if isinstance(response, dict) else None
    return Page(lists[0], offset, total if isinstance(total, int) else None)
