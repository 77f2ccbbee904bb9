"""The one root of all refusals. Each error is named by its problem and carries a stable code.

`api/` alone maps a code to an HTTP status; everything else raises and catches these classes.
"""

from __future__ import annotations

from typing import ClassVar


class SiyuError(Exception):
    """A refusal with a stable, documented `code`; `str(error)` says what is wrong and what to do."""

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


class MalformedRequest(SiyuError):
    """The request cannot be understood; `details["path"]` names the wrong place where there is one."""

    code = "MALFORMED_REQUEST"
    status = 400


class WrongValue(MalformedRequest):
    """A well-formed request with a value that cannot be meant (INTERFACE 6: 422)."""

    status = 422


class InvalidQuestion(MalformedRequest):
    """A question that cannot be asked: unknown field, impossible range, too large."""

    code = "INVALID_QUESTION"
    status = 422


class Unauthorized(SiyuError):
    """No valid key, token or login."""

    code = "UNAUTHORIZED"
    status = 401


class Forbidden(SiyuError):
    """A valid login without the right to do this."""

    code = "FORBIDDEN"
    status = 403


class NotFound(SiyuError):
    """The thing asked for does not exist."""

    code = "NOT_FOUND"
    status = 404


class PersonNotFound(NotFound):
    """No person has this identifier or id."""

    code = "PERSON_NOT_FOUND"


class Conflict(SiyuError):
    """The request contradicts what is already so."""

    code = "CONFLICT"
    status = 409


class Refused(Conflict):
    """A business request that is not done; `code` is the true reason (INTERFACE 6)."""

    code = "REFUSED"

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message, **details)
        self.code = code  # type: ignore[misc]  # of the class for all other errors


class IdempotencyConflict(Conflict):
    """This idempotency key was used for another request."""

    code = "IDEMPOTENCY_CONFLICT"


class TooLarge(SiyuError):
    """A body, batch or event over its limit."""

    code = "TOO_LARGE"
    status = 413


class Busy(SiyuError):
    """More than can be taken now; try again after `details["retry_after_s"]` seconds."""

    code = "BUSY"
    status = 429


class Contended(SiyuError):
    """Somebody else changed an account between our reading and our writing: roll back and do it again."""

    code = "CONTENDED"
    status = 503


class EngineUnavailable(SiyuError):
    """An engine (PostgreSQL, ClickHouse, Kafka) does not answer; `details["engine"]` names it."""

    code = "ENGINE_UNAVAILABLE"
    status = 503
