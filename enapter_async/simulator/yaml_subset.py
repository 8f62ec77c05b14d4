"""Reading manifests where PyYAML is not installed: the part of YAML that manifests are written in.

Block mappings and sequences, plain and quoted scalars, flow lists and mappings, literal and folded texts, comments.
Anchors, tags and several documents are refused. With PyYAML installed, that reads instead.
"""

from __future__ import annotations

import importlib.util
import json
import re
from typing import Any

import attrs

_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#&*!|>'"%@`{\[,][^#]*?)\s*:(?:\s+|$)""")
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False, "yes": True, "no": False}
_DEEPEST = 50


def read_yaml(text: str) -> Any:
    """Read a YAML document.

    Raises:
        ValueError: It cannot be read.
    """
    if importlib.util.find_spec("yaml") is not None:
        import yaml

        class Loader(yaml.SafeLoader):
            # States are called on and off: texts, as in YAML 1.2, and no booleans, as in 1.1.
            yaml_implicit_resolvers = {  # noqa: RUF012
                letter: resolvers
                for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
                if letter not in ("o", "O")
            }

        try:
            return Loader(text).get_single_data()
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(" ".join(str(error).split())) from None
    return read_subset(text)


def read_subset(text: str) -> Any:
    """Read a YAML document of the supported part.

    Raises:
        ValueError: It cannot be read.
    """
    if text.lstrip().startswith("{"):
        return json.loads(text)
    reader = _Reader(text)
    value = reader.node(0, 0)
    if reader.peek() is not None:
        raise reader.error("unexpected indentation")
    return value


@attrs.define
class _Reader:
    text: str
    lines: list[str] = attrs.field(init=False)
    place: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.lines = self.text.splitlines()

    def error(self, message: str) -> ValueError:
        return ValueError(f"line {self.place + 1}: {message}")

    def peek(self) -> tuple[int, str] | None:
        """Give indentation and content of the next line that says something."""
        while self.place < len(self.lines):
            line = self.lines[self.place]
            content = line.strip()
            if content and not content.startswith("#") and line != "---":
                if "\t" in line[: len(line) - len(line.lstrip())]:
                    raise self.error("tabs do not indent")
                return len(line) - len(line.lstrip(" ")), _without_comment(content)
            self.place += 1
        return None

    def node(self, least: int, depth: int) -> Any:
        """Read a block that is indented by at least so much."""
        if depth > _DEEPEST:
            raise self.error("nested too deeply")
        ahead = self.peek()
        if ahead is None or ahead[0] < least:
            return None
        indent, content = ahead
        if content == "-" or content.startswith("- "):
            return self._sequence(indent, depth)
        if _KEY.match(content):
            return self._mapping(indent, depth)
        self.place += 1
        return self._scalar(content, indent)

    def _sequence(self, indent: int, depth: int) -> list[Any]:
        items: list[Any] = []
        while (ahead := self.peek()) is not None and ahead[0] == indent:
            content = ahead[1]
            if content != "-" and not content.startswith("- "):
                break
            rest = content[1:].lstrip()
            if not rest:
                self.place += 1
                items.append(self.node(indent + 1, depth + 1))
            elif _KEY.match(rest) or rest.startswith("- "):
                # The item's own block begins on this line, right of the dash.
                inner = indent + len(content) - len(rest)
                self.lines[self.place] = " " * inner + rest
                items.append(self.node(inner, depth + 1))
            else:
                self.place += 1
                items.append(self._scalar(rest, indent))
        return items

    def _mapping(self, indent: int, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while (ahead := self.peek()) is not None and ahead[0] == indent:
            match = _KEY.match(ahead[1])
            if match is None:
                raise self.error("expected a key")
            key, rest = str(self._plain(match[1])) if match[1][0] in "\"'" else match[1], ahead[1][match.end() :]
            if key in entries:
                raise self.error(f"{key} stands twice")
            self.place += 1
            if rest:
                entries[key] = self._scalar(rest, indent)
                continue
            below = self.peek()
            # A sequence may stand as far left as its key.
            dash = below is not None and below[0] == indent and (below[1] == "-" or below[1].startswith("- "))
            entries[key] = self.node(indent if dash else indent + 1, depth + 1)
        return entries

    def _scalar(self, content: str, indent: int) -> Any:
        if content[0] in "|>":
            return self._block_text(content, indent)
        if content[0] in "&*!%@`":
            self.place -= 1
            raise self.error(f"{content[0]} is not supported without PyYAML")
        if content[0] in "[{":
            return _Flow(content).value()
        return self._plain(content)

    def _plain(self, content: str) -> Any:
        return _plain(content)

    def _block_text(self, content: str, indent: int) -> str:
        lines: list[str] = []
        while self.place < len(self.lines):
            line = self.lines[self.place]
            if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
                break
            lines.append(line)
            self.place += 1
        while lines and not lines[-1].strip():
            lines.pop()
        margin = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
        text = ("\n" if content[0] == "|" else " ").join(line[margin:] for line in lines)
        return text if content.endswith("-") else text + "\n"


def _without_comment(content: str) -> str:
    quote = ""
    for place, character in enumerate(content):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (place == 0 or content[place - 1] in " [{,:"):
            quote = character
        elif character == "#" and place and content[place - 1] == " ":
            return content[:place].rstrip()
    return content


def _plain(content: str) -> Any:
    if content[:1] == '"':
        return json.loads(content)
    if content[:1] == "'":
        if len(content) < 2 or content[-1] != "'":
            raise ValueError("a quote is not closed")
        return content[1:-1].replace("''", "'")
    if content.lower() in _WORDS:
        return _WORDS[content.lower()]
    if _INTEGER.fullmatch(content):
        return int(content)
    return float(content) if _FLOAT.fullmatch(content) else content


class _Flow:
    """A list or mapping on one line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def value(self) -> Any:
        value = self._value(0)
        if self._text[self._place :].strip():
            raise ValueError("text after a flow collection")
        return value

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        match self._next():
            case "[":
                return self._items(depth, "]")
            case "{":
                pairs = self._items(depth, "}")
                return {str(key): value for key, value in pairs}
            case _:
                match = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]{}]*?)\s*(?=[,\]}]|:\s|$)""").match(
                    self._text, self._place
                )
                if match is None:
                    raise ValueError("a flow collection is not closed")
                self._place = match.end()
                return _plain(match[1])

    def _items(self, depth: int, closing: str) -> list[Any]:
        self._place = self._text.index(self._next(), self._place) + 1
        items: list[Any] = []
        while self._next() != closing:
            item = self._value(depth + 1)
            if closing == "}":
                if self._next() != ":":
                    raise ValueError("expected a colon")
                self._place = self._text.index(":", self._place) + 1
                item = (item, self._value(depth + 1))
            items.append(item)
            if self._next() == ",":
                self._place = self._text.index(",", self._place) + 1
            elif self._next() != closing:
                raise ValueError("a flow collection is not closed")
        self._place = self._text.index(closing, self._place) + 1
        return items

    def _next(self) -> str:
        return self._text[self._place :].lstrip()[:1]
