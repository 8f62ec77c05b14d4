"""Roles and tokens (reference.md, Authentication and roles)."""

from __future__ import annotations

import enum
import hashlib

import attrs


class Role(enum.IntEnum):
    """Access roles, lowest first; each includes those before it."""

    READONLY = 1
    USER = 2
    OWNER = 3
    INSTALLER = 4
    VENDOR = 5
    SYSTEM = 6

    @classmethod
    def parse(cls, text: str) -> Role:
        """Read a role in any case, `READ_ONLY` included.

        Raises:
            ValueError: There is no such role.
        """
        try:
            return cls[text.upper().replace("READ_ONLY", "READONLY")]
        except KeyError:
            raise ValueError(f"unknown role {text!r}; roles: {', '.join(role.name for role in cls)}") from None


def access_level(declared: object, default: Role) -> Role:
    """Read a manifest's access level; null, absent and unknown ones are the section's default."""
    if not isinstance(declared, str):
        return default
    try:
        return Role.parse(declared)
    except ValueError:
        return default


@attrs.define(eq=False)
class Grant:
    """What a token may do.

    Attributes:
        token: The secret itself.
        role: Its role on every site that has no role of its own in `site_roles`.
        site_roles: Roles on single sites: whoever creates a site becomes its INSTALLER.
        expired: An expired token is refused with 403.
    """

    token: str = attrs.field(repr=False)
    role: Role = Role.OWNER
    site_roles: dict[str, Role] = attrs.field(factory=dict[str, Role])
    expired: bool = False

    def role_on(self, site_id: str | None) -> Role:
        """Give the role on a site; None means no site at all."""
        if site_id is None:
            return self.role
        return self.site_roles.get(site_id, self.role)


def default_token(seed: int) -> str:
    """Make the token of a simulator that was given none: 64 hex digits, the same for the same seed."""
    return hashlib.sha256(f"enapter-simulator/{seed}/token".encode()).hexdigest()
