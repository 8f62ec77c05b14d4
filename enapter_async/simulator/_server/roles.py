"""Roles and tokens (reference.md, Authentication and roles)."""

from __future__ import annotations

import enum
import hashlib

import attrs


class Role(enum.IntEnum):
    """Access roles, lowest first. Each includes those before it."""

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
            ValueError: The role does not exist.
        """
        try:
            return cls[text.upper().replace("READ_ONLY", "READONLY")]
        except KeyError:
            raise ValueError(f"unknown role {text!r}; roles: {', '.join(role.name for role in cls)}") from None


def access_level(declared: object, default: Role) -> Role:
    """Read a manifest's access level. If it is null, absent or unknown, the section's default applies."""
    if not isinstance(declared, str):
        return default
    try:
        return Role.parse(declared)
    except ValueError:
        return default


@attrs.define(eq=False)
class Grant:
    """The rights of a token.

    Attributes:
        token: The secret itself.
        role: Role on every site that is not in `site_roles`.
        site_roles: Roles on single sites. The creator of a site becomes its INSTALLER.
        expired: An expired token is refused with 403.
    """

    token: str = attrs.field(repr=False)
    role: Role = Role.OWNER
    site_roles: dict[str, Role] = attrs.field(factory=dict[str, Role])
    expired: bool = False

    def role_on(self, site_id: str | None) -> Role:
        """Return the role on a site. None means no site at all."""
        if site_id is None:
            return self.role
        return self.site_roles.get(site_id, self.role)


def default_token(seed: int) -> str:
    """Return the default token of a simulator: 64 hex digits, the same for the same seed."""
    return hashlib.sha256(f"enapter-simulator/{seed}/token".encode()).hexdigest()
