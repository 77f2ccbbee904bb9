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


def fingerprint(secret: str, key: bytes) -> str:
    """Equal secrets, equal text, from which without `key` a guess cannot be checked."""
    return hashlib.blake2b(secret.encode(), key=hashlib.sha256(b"fingerprints\n" + key).digest()).hexdigest()


def _box(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"connector secrets\n" + key).digest()))
