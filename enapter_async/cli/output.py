"""Output as tables for people, or as JSON, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from itertools import repeat
from typing import Any, Final, Literal, Self, TypeAlias, cast, get_args

import attrs
import click

from enapter_async import JSON, Manifest
from enapter_async._visible import make_visible
from enapter_async.cli.parameters import option

Format: TypeAlias = Literal["table", "json", "jsonl", "csv"]

HIDDEN: Final = "(hidden)"
_ID_WIDTH: Final = 38
_MAY_ACT: Final = re.compile("[\x7f-\U0010ffff]")
_encode_json: Final = json.JSONEncoder(ensure_ascii=False).encode
_LEAST_WIDTH: Final = 12
"""Average width of a column with folded cells. Both include the space after the column."""

output_option: Final = option(
    "--output",
    "-o",
    type=click.Choice(get_args(Format)),
    default="table",
    show_default=True,
    help="Output format: a table for people, the other formats for programs.",
)
secrets_option: Final = option("--show-secrets", is_flag=True, help="Print secrets instead of hiding them.")


@attrs.frozen
class Shape:
    """The columns for one kind of record.

    Attributes:
        fields: Columns of CSV: every field of the record. Empty for a single record with any fields.
        columns: Columns of tables: dotted paths into a record, by heading.
    """

    fields: tuple[str, ...]
    columns: Mapping[str, str]

    @classmethod
    def of(cls, model: type[attrs.AttrsInstance], *paths: str, **columns: str) -> Self:
        """Return the shape of a model.

        Args:
            model: Model whose fields, except `extra`, are the columns of CSV.
            *paths: Columns of tables, with their path as heading.
            **columns: Columns of tables by heading.
        """
        fields = tuple(field.name for field in attrs.fields(model) if field.name != "extra")
        return cls(fields, {**{path: path for path in paths}, **columns})

    @classmethod
    def any(cls) -> Self:
        """Return the shape of a single record with any fields."""
        return cls((), {})

    @classmethod
    def flat(cls, *fields: str) -> Self:
        """Return the shape of records that are dicts with these fields."""
        return cls(fields, {field: field for field in fields})


class Printer:
    """Prints records as they arrive. A table waits for the last one, because the widest cell sets a column's width."""

    def __init__(self, form: Format, shape: Shape, *, show_secrets: bool = False, live: bool = False) -> None:
        """Prepare for printing.

        Args:
            form: Output format.
            shape: Shape of the records.
            show_secrets: Whether to print secret fields, which every repr hides.
            live: Records arrive without end, so a table's rows are printed at once, without alignment.
        """
        self._form = form
        self._shape = shape
        self._show_secrets = show_secrets
        self._live = live
        self._rows: list[list[str]] = []
        self._count = 0
        self._fields = shape.fields
        if form == "csv" and self._fields:
            _print(_csv_line(self._fields))

    def one(self, record: object) -> None:
        """Print a single record: as a JSON object, or as a table with one line for each field that is set."""
        plain = _object(record, show_secrets=self._show_secrets)
        if self._form == "json":
            _print(json_text(plain, indent=2))
        elif self._form == "table":
            _table(
                ["field", "value"],
                [[_cell(name), _cell(value, lines=True)] for name, value in plain.items() if value is not None],
            )
        else:
            if self._form == "csv" and not self._fields:
                self._fields = tuple(plain)
                _print(_csv_line(self._fields))
            self.write(record)

    def write(self, record: object) -> None:
        """Print one of several records."""
        plain = _object(record, show_secrets=self._show_secrets)
        if self._form == "table":
            row = [_cell(_at(plain, path)) for path in self._shape.columns.values()]
            if self._live:
                _print("  ".join(row))
            else:
                self._rows.append(row)
        elif self._form == "jsonl":
            _print(json_text(plain))
        elif self._form == "csv":
            _print(_csv_line(_csv_cell(plain.get(name)) for name in self._fields))
        else:
            _print("[" if not self._count else ",", end="\n")
            _print(_indented(json_text(plain, indent=2)), end="")
        self._count += 1

    def end(self) -> None:
        """Print the remaining records."""
        if self._form == "table" and not self._live:
            if self._rows:
                _table(list(self._shape.columns), self._rows)
            else:
                click.echo("nothing found", err=True)
        elif self._form == "json":
            _print("\n]" if self._count else "[]")

    async def write_all(self, records: AsyncIterable[object]) -> None:
        """Print records as they arrive, then the remaining ones."""
        async for record in records:
            self.write(record)
        self.end()


def plain(value: object, *, show_secrets: bool = False) -> JSON:
    """Convert a value to JSON types: models to objects that include their unknown fields, times to ISO 8601.

    Args:
        value: A model or a part of a model, nested to any depth.
        show_secrets: Whether to include secret fields. Otherwise they are replaced by `(hidden)`.
    """
    result: list[Any] = [value]
    todo: list[tuple[Any, int | str]] = [(result, 0)]
    while todo:
        parent, place = todo.pop()
        one = parent[place] = _plain_outside(parent[place], show_secrets=show_secrets)
        if isinstance(one, dict):
            todo += ((one, name) for name in cast("dict[str, object]", one))
        elif isinstance(one, list):
            todo += ((one, number) for number in range(len(cast("list[object]", one))))
    return cast("JSON", result[0])


def _plain_outside(value: object, *, show_secrets: bool) -> object:
    """Convert a value to a JSON type, without converting its content."""
    if isinstance(value, Manifest):
        return dict(value.raw)
    if attrs.has(type(value)):
        return _fields(value, show_secrets=show_secrets)
    if isinstance(value, Mapping):
        return {str(name): one for name, one in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return list(cast("Iterable[object]", value))
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.value if isinstance(value, Enum) else value


def _fields(record: object, *, show_secrets: bool) -> dict[str, object]:
    found: dict[str, object] = {}
    model = cast("type[attrs.AttrsInstance]", type(record))
    for field in cast("Iterable[attrs.Attribute[Any]]", attrs.fields(model)):
        value = getattr(record, field.name)
        secret = field.repr is False and not show_secrets
        if field.name == "extra":
            found.update({} if secret else {name: one for name, one in value.items() if name not in found})
        else:
            found[field.name] = HIDDEN if secret and value is not None else value
    return found


def _object(record: object, *, show_secrets: bool) -> dict[str, JSON]:
    return cast("dict[str, JSON]", plain(record, show_secrets=show_secrets))


def _at(record: Mapping[str, JSON], path: str) -> JSON:
    value: JSON = cast("JSON", record)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def json_text(value: JSON, *, indent: int | None = None) -> str:
    """Return a value as JSON text with only visible characters. It may be nested more deeply than `json` allows.

    Args:
        value: The value.
        indent: Spaces for each level; None for one line.
    """
    pieces: list[str] = []
    unfinished = [(iter([("", value)]), "")]
    while unfinished:
        members, end = unfinished[-1]
        lead, member = next(members, (None, None))
        if lead is None:
            pieces.append(end)
            unfinished.pop()
        elif isinstance(member, (dict, list)) and member:
            opening, closing = "{}" if isinstance(member, dict) else "[]"
            line = "" if indent is None else f"\n{' ' * indent * (len(unfinished) - 1)}"
            pieces += (lead, opening)
            unfinished.append((_members(member, indent, len(unfinished)), f"{line}{closing}"))
        else:
            pieces += (lead, _encode(member))
    return "".join(pieces)


def _members(parent: dict[str, JSON] | list[JSON], indent: int | None, level: int) -> Iterator[tuple[str, JSON]]:
    """Yield the content of an object or array, each item with the text before it."""
    line = "" if indent is None else f"\n{' ' * indent * level}"
    names = (f"{_encode(name)}: " for name in parent) if isinstance(parent, dict) else repeat("")
    lead = line
    for name, member in zip(names, parent.values() if isinstance(parent, dict) else parent, strict=False):
        yield f"{lead}{name}", member
        lead = f",{line or ' '}"


def _encode(value: JSON) -> str:
    text = _encode_json(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'"{text}"'  # JSON has no such numbers
    return text if text.isascii() and "\x7f" not in text else _MAY_ACT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if make_visible(character) == character:
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else json.dumps(character)[1:-1]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    # The writer quotes line feeds only if they are its line ending.
    csv.writer(line, lineterminator="\n").writerow(make_visible(cell, lines=True) for cell in cells)
    return line.getvalue().removesuffix("\n")


def _csv_cell(value: JSON) -> str:
    if value is None:
        return ""
    return _text(value)


def _cell(value: JSON, *, lines: bool = False) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(cast("list[str]", value)) or "-"
    return make_visible(_text(value), lines=lines)


def _text(value: JSON) -> str:
    if isinstance(value, float):
        return _encode_json(value)
    return value if isinstance(value, str) else json_text(value)


def warn(message: str) -> None:
    """Print a message to standard error, with control characters made visible."""
    click.echo(f"enapter-async: {make_visible(message)}", err=True)


def _print(text: str, end: str = "\n") -> None:
    # A lone surrogate, possible in JSON, cannot be encoded as UTF-8. JSON writes the same escape.
    click.echo((text + end).encode("utf-8", "backslashreplace").decode(), nl=False)


def _table(headings: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console  # importing it takes as long as the rest of a command
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    ids = [heading == "id" or heading.endswith("_id") for heading in headings]
    for heading, is_id in zip(headings, ids, strict=True):
        table.add_column(Text(heading.upper().replace("_", " "), style="bold"), overflow="fold", no_wrap=is_id)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    room = sum(_ID_WIDTH if is_id else _LEAST_WIDTH for is_id in ids)
    if not sys.stdout.isatty() or (any(ids) and console.width < room):
        # Never fold output for a program or a file, and never fold IDs, which people copy.
        console.width = 10**6
        console.width = Measurement.get(console, console.options, table).maximum
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=True)
