"""Questions over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, Literal, cast
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, RequestBody, Schema

from siyu.analytics import actions
from siyu.analytics.actions import SavedQuestion
from siyu.analytics.as_table import to_csv
from siyu.analytics.kinds import question_schemas
from siyu.clock import Now
from siyu.idempotency import Key
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, key_number, repeatable

_PREFIX: Final = "Question."
"""Of the names of our schemas: what a question calls a Step, another room may too."""
_question, _answer, _parts = question_schemas(f"#/components/schemas/{_PREFIX}{{name}}")
schemas: Final[dict[str, Any]] = {f"{_PREFIX}{name}": part for name, part in _parts.items()}
"""Components of the API description that questions and answers refer to."""


@dataclass
class _Ask(Operation):
    """The description of asking: both bodies are coded by us, so Litestar does not know their shapes."""

    def __post_init__(self) -> None:
        question, answer = (OpenAPIMediaType(schema=cast(Schema, schema)) for schema in (_question, _answer))
        self.request_body = RequestBody(content={"application/json": question}, required=True)
        table = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
        answered = OpenAPIResponse("The answer", content={"application/json": answer, "text/csv": table})
        self.responses = {**(self.responses or {}), "200": answered}


class NewSavedQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """A question to keep."""

    name: str
    question: dict[str, Any]


async def until_left(request: Request[Any, Any, Any], work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`, which is cancelled when the asker goes away first."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.create_task(work), asyncio.create_task(left())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        return await task
    finally:
        gone.cancel()


@post("/api/questions", status_code=200, summary="Answer a question", operation_class=_Ask)
async def answer_question(
    request: Request[Any, Any, Any],
    db: Database,
    events: EventStore,
    now: Now,
    settings: Settings,
    *,
    format: Literal["json", "csv"] = "json",
) -> Response[bytes]:
    """A question as JSON (docs/questions.md): its figures, or with `cell` the persons behind one of them; as CSV with
    `format=csv`. 422 INVALID_QUESTION, 422 QUERY_TOO_EXPENSIVE."""
    body = await request.body()
    work = actions.ask(db, events, body, now(), settings.timezone, seconds_max=settings.question_seconds_max)
    try:
        answer = await until_left(request, work)
    except asyncio.CancelledError:
        return Response(b"", status_code=499)
    if format == "csv":
        return Response(to_csv(answer).encode("utf-8-sig"), media_type="text/csv; charset=utf-8")
    return Response(msgspec.json.encode(answer), media_type="application/json")


@get("/api/saved-questions", summary="Saved questions")
async def list_saved(db: Database) -> list[SavedQuestion]:
    """All saved questions, by name."""
    return await actions.saved_questions(db)


@get("/api/saved-questions/{question_id:uuid}", summary="One saved question")
async def read_saved(db: Database, question_id: UUID) -> SavedQuestion:
    """A saved question. 404 NOT_FOUND."""
    return await actions.saved_question(db, question_id)


@post("/api/saved-questions", summary="Save a question")
async def save(data: NewSavedQuestion, db: Database, now: Now, idempotency_key: Key = None) -> SavedQuestion:
    """Keep a question under a name. 422 INVALID_QUESTION."""

    # Whoever dies between the question and the reply saves no second one when asked again.
    question_id = None if idempotency_key is None else key_number(idempotency_key)

    async def work() -> SavedQuestion:
        return await actions.save_question(db, data.name, data.question, now(), question_id)

    return await repeatable(db, Asked(idempotency_key, "question.save", data), SavedQuestion, work, now)


@delete("/api/saved-questions/{question_id:uuid}", summary="Forget a saved question")
async def forget(db: Database, now: Now, question_id: UUID, idempotency_key: Key = None) -> None:
    """Delete a saved question. 404 NOT_FOUND."""

    async def work() -> None:
        await actions.forget_question(db, question_id)

    await repeatable(db, Asked(idempotency_key, "question.forget", question_id), NoneType, work, now)


routes: list[Any] = [answer_question, list_saved, read_saved, save, forget]
