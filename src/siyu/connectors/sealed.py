"""Secrets of outside systems as they are stored: sealed with the installation's secret."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet


def seal(secret: str, key: bytes) -> bytes:
    """A secret as it is stored."""
    return _box(key).encrypt(secret.encode())


def unseal(sealed: bytes, key: bytes) -> str:
    """Inverse of `seal`."""
    return _box(key).decrypt(sealed).decode()


def _box(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"connector secrets\n" + key).digest()))
