"""Read a manifest: YAML with PyYAML, which the extra `simulator` installs, or JSON without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_MOST_CHARACTERS = 256 * 1024  # of which PyYAML takes about two seconds in the worst case
_MOST_WRITTEN_OUT = 4 * _MOST_CHARACTERS
_LONGEST_NUMBER = 100  # PyYAML takes time with the square of the length of 1:30:00 and the like


def read_manifest(text: str, *, is_yaml: bool = True) -> Any:
    """Read a manifest file.

    Args:
        text: Its content.
        is_yaml: Whether it may be YAML, or is JSON only.

    Raises:
        ValueError: It cannot be read, or it is too large: as it is, or with its aliases written out.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"the manifest is larger than {_MOST_CHARACTERS // 1024} KiB")
    if not is_yaml or text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            if not is_yaml:
                raise
        except RecursionError:
            raise ValueError("the manifest is nested too deeply") from None
    return _read_yaml(text)


def _read_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ValueError("YAML is read by PyYAML: pip install 'enapter-async[simulator]'") from None

    class Loader(yaml.SafeLoader):
        # States are called on and off. They are texts, as in YAML 1.2, not booleans, as in 1.1.
        yaml_implicit_resolvers = {  # noqa: RUF012
            letter: resolvers
            for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
            if letter not in ("o", "O")
        }

    try:
        loader = Loader(text)
        document = loader.get_single_node()
        if document is None:
            return None
        _check_size(document)
        return loader.construct_document(document)  # pyright: ignore[reportUnknownMemberType]
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("the manifest is nested too deeply") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError):  # what PyYAML lets out of its conversions
        raise ValueError("a value does not fit its tag") from None


def _check_size(document: yaml.Node) -> None:
    """Refuse what a few aliases make huge, before anything is made of it.

    Raises:
        ValueError: The document is too large with its aliases written out, or contains itself.
    """
    sizes: dict[int, int | None] = {}  # by identity: an alias is the node of its anchor; None while it is measured

    def size_of(node: yaml.Node) -> int:
        known = sizes.setdefault(id(node), 0)
        if known is None:
            raise ValueError("an alias is part of what it stands for")
        if known:
            return known
        sizes[id(node)] = None
        value: str | list[yaml.Node | tuple[yaml.Node, ...]] = node.value
        if isinstance(value, str):
            if len(value) > _LONGEST_NUMBER and node.tag.endswith((":int", ":float")):
                raise ValueError("a number is too long")
            size = 1 + len(value)
        else:
            children = (child for item in value for child in (item if isinstance(item, tuple) else (item,)))
            size = 1 + sum(map(size_of, children))
        if size > _MOST_WRITTEN_OUT:
            raise ValueError("the manifest is too large with its aliases written out")
        sizes[id(node)] = size
        return size

    size_of(document)
