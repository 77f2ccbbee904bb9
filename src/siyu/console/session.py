"""Session cookies and CSRF tokens: signed with the installation's secret, worth nothing without it. Pure."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from datetime import datetime, timedelta
from typing import Final, NamedTuple

LIFETIME: Final = timedelta(hours=12)
NUMBER_BYTES: Final = 24


class Session(NamedTuple):
    """What the cookie says: a random number that names the session, and when it ends."""

    number: bytes
    expires_at: datetime

    @property
    def token_hash(self) -> bytes:
        """The form kept in the database: a copy of the table opens no session."""
        return hashlib.sha256(self.number).digest()


def _mac(purpose: str, message: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, purpose.encode() + b"\0" + message, hashlib.sha256)


def seal(session: Session, secret: bytes) -> str:
    """The cookie's value."""
    message = session.number + int(session.expires_at.timestamp()).to_bytes(8, "big")
    return urlsafe_b64encode(message + _mac("session", message, secret)).decode()


def unseal(cookie: str, secret: bytes, now: datetime) -> Session | None:
    """The session of a cookie; None when it was not sealed by us or is over."""
    try:
        raw = urlsafe_b64decode(cookie.encode())
    except (NotBase64, ValueError):
        return None
    if len(raw) != NUMBER_BYTES + 8 + 32:
        return None
    message, mac = raw[:-32], raw[-32:]
    if not hmac.compare_digest(mac, _mac("session", message, secret)):
        return None
    expires_at = datetime.fromtimestamp(int.from_bytes(message[NUMBER_BYTES:], "big"), now.tzinfo)
    return Session(message[:NUMBER_BYTES], expires_at) if now < expires_at else None


def csrf_token(number: bytes, secret: bytes) -> str:
    """The token every form of this session carries."""
    return urlsafe_b64encode(_mac("csrf", number, secret)[:24]).decode()


def csrf_matches(token: str, number: bytes, secret: bytes) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(token.encode(), csrf_token(number, secret).encode())
