"""Reading a manifest: YAML by PyYAML, which the extra `simulator` brings, and JSON without it."""

from __future__ import annotations

import json
from typing import Any


def read_manifest(text: str) -> Any:
    """Read a manifest file.

    Raises:
        ValueError: It cannot be read.
    """
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML may begin so too
    try:
        import yaml
    except ImportError:
        raise ValueError("YAML is read by PyYAML: pip install 'enapter-async[simulator]'") from None

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
