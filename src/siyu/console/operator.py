"""Operators: who may sign in to the console, and what each role may do."""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import ClassVar, Final, Literal, get_args

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from siyu.errors import Forbidden, MalformedRequest

Role = Literal["manager", "operator", "developer", "counter"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

Permission = Literal["look", "persons", "erase", "sources", "operators", "counter"]
"""look: see the pages; persons: change tags, consent and links; erase: export and erase a person; sources: keys and
dead letters; operators: who may sign in; counter: look a coupon or member up by code or number, use the coupon."""

PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    "manager": frozenset(get_args(Permission)),
    "operator": frozenset({"look", "persons", "counter"}),
    "developer": frozenset({"look", "sources"}),
    "counter": frozenset({"counter"}),
}
PASSWORD_CHARACTERS_MIN: Final = 8
PASSWORD_CHARACTERS_MAX: Final = 256

_hasher = PasswordHasher()
_SALT, _DIGEST = (b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (_hasher.salt_len, _hasher.hash_len))
DECOY_HASH: Final = (
    f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}${_SALT}${_DIGEST}"
)
"""The hash of no password, written down instead of worked out: checked when the name is unknown, so that the time of
an answer does not tell which names exist."""


class Operator(msgspec.Struct, frozen=True):
    """One person who may sign in."""

    name: str
    role: Role
    locale: str | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return permission in PERMISSIONS[self.role]

    def require(self, permission: Permission) -> None:
        """Raises Forbidden when the role does not allow it."""
        if not self.may(permission):
            raise Forbidden(f"The role {self.role} may not do this: it needs the permission {permission}.")


class WeakPassword(MalformedRequest):
    """A password outside the allowed length."""

    code: ClassVar[str] = "WEAK_PASSWORD"
    status: ClassVar[int] = 422


def hash_password(password: str) -> str:
    """argon2id hash. Takes about 50 ms of one core and 64 MB: call it in a thread. Raises WeakPassword."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise WeakPassword(
            f"A password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters.",
        )
    return _hasher.hash(password)


def password_matches(password: str, password_hash: str | None) -> bool:
    """Whether the password is right; with no hash (unknown name) False after the same work."""
    try:
        _hasher.verify(password_hash or DECOY_HASH, password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def generate_password() -> str:
    """A password shown once at bootstrap: 16 characters without look-alikes, about 92 bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRTUVWXYZ234679"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))
