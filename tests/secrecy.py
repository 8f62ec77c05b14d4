"""What no error, event or log record may hold: the token, or anything of a library's."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import attrs

from enapter_async import EnapterError
from enapter_async.hooks import Event

TOKEN = "eT0k-3nThatNobodyMaySee"


def texts_within(value: object, seen: set[int] | None = None) -> Iterator[str]:
    """Yield the text of a value and of everything that it holds."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    yield repr(value)
    yield str(value)
    held: list[object] = []
    if isinstance(value, BaseException):
        held += [value.args, vars(value), value.__cause__, value.__context__, getattr(value, "__notes__", None)]
    elif isinstance(value, dict):
        held += [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        held += value
    elif attrs.has(kind := type(value)):
        held += [getattr(value, field.name) for field in attrs.fields(kind)]
    for part in held:
        yield from texts_within(part, seen)


def chain(error: BaseException) -> list[BaseException]:
    """Return an error with all causes and contexts."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and one not in found:
            found.append(one)
            todo += [one.__cause__, one.__context__]
    return found


def assert_clean(error: BaseException) -> None:
    """Check an error that a caller got: ours all through, without the token, and it pickles."""
    for one in chain(error):
        assert isinstance(one, EnapterError), f"{type(one)} in the chain of {error!r}"
    for text in texts_within(error):
        assert TOKEN not in text
    pickled = pickle.dumps(error)
    assert TOKEN.encode() not in pickled
    restored = pickle.loads(pickled)
    assert type(restored) is type(error)
    assert str(restored) == str(error)
    assert restored.args == error.args
    assert set(vars(restored)) == set(vars(error))


class Watcher:
    """A hook that keeps events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def assert_clean(self) -> None:
        for event in self.events:
            for text in texts_within(event):
                assert TOKEN not in text
