"""The pytest plugin under the name that `-p` and the entry point know; it lives in `integrations`."""

from enapter_async.integrations.pytest_plugin import *  # noqa: F403 - pytest finds fixtures and hooks by name
