"""Name the members of each enum in its documentation: they have no docstrings, so they would not be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import griffe


class EnumMembers(griffe.Extension):
    """Ends the docstring of every enum with its members."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change what was read of the package."""
        for cls in _classes(pkg):
            if cls.docstring is not None and any(str(base).endswith("Enum") for base in cls.bases):
                members = [name for name, member in cls.members.items() if member.is_attribute and name.isupper()]
                if members:
                    cls.docstring.value += f"\n\nMembers: {', '.join(f'`{name}`' for name in members)}."


def _classes(scope: griffe.Module | griffe.Class) -> Iterator[griffe.Class]:
    for member in scope.members.values():
        if member.is_alias:
            continue
        if isinstance(member, griffe.Class):
            yield member
        if isinstance(member, griffe.Module | griffe.Class):
            yield from _classes(member)
