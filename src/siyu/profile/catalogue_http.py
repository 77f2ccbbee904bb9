"""Routes of what describes persons: the tree of tags, the trait catalogue, the lifecycle thresholds."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import get, post, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.profile import operate
from siyu.profile.catalogue import Declared, TraitType
from siyu.profile.lifecycle import Thresholds
from siyu.profile.portrait import Moment, Portrait
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.store.replies import Asked, repeatable


class Persons(msgspec.Struct, frozen=True):
    """Persons found."""

    items: list[Portrait]


class TagBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tag by its path, names from the root down joined by `/`."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class TagNode(msgspec.Struct, frozen=True):
    """A node of the tree."""

    id: int
    parent: int | None
    name: str
    path: str


class Tags(msgspec.Struct, frozen=True):
    """The tree, in the order of paths."""

    items: list[TagNode]


class DeclaredTrait(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trait's type and labels."""

    type: TraitType
    label_zh: Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00]*$")] = ""
    label_en: Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00]*$")] = ""


@get("/api/tags", summary="The tree of tags")
async def tag_tree(db: Database) -> Tags:
    """Every tag, in the order of paths."""
    return Tags([TagNode(*tag) for tag in await operate.list_tags(db)])


@post("/api/tags", summary="Create a tag")
async def create_tag(data: TagBody, db: Database, now: Now, idempotency_key: Key = None) -> TagNode:
    """With those above it where missing; an existing one is answered as it is."""

    async def work() -> TagNode:
        return TagNode(*await operate.create_tag(db, data.path, now()))

    return await repeatable(db, Asked(idempotency_key, "tag.create", data), TagNode, work, now)


@put("/api/tags/{tag_id:int}", summary="Move or rename a tag")
async def move_tag(tag_id: int, data: TagBody, db: Database, now: Now, idempotency_key: Key = None) -> TagNode:
    """With all below it; former paths keep leading to it. 409 TAG_TAKEN."""

    async def work() -> TagNode:
        return TagNode(*await operate.move_tag(db, tag_id, data.path, now()))

    return await repeatable(db, Asked(idempotency_key, f"tag.move {tag_id}", data), TagNode, work, now)


@get("/api/tags/persons", summary="Persons with a tag")
async def tagged_persons(
    path: str,
    db: Database,
    now: Now,
    settings: Settings,
    limit: Annotated[int, Parameter(ge=1, le=100)] = 20,
) -> Persons:
    """Who carries the tag at `path` or one below it now. 404 TAG_NOT_FOUND."""
    return Persons(await operate.tagged_persons(db, path, limit, Moment(now(), ZoneInfo(settings.timezone))))


@get("/api/traits", summary="The trait catalogue")
async def trait_catalogue(db: Database) -> dict[str, DeclaredTrait]:
    """Declared traits by name: the built-in ones, and the brand's own over them."""
    return {name: DeclaredTrait(*one) for name, one in (await operate.declared_traits(db)).items()}


@put("/api/traits/{name:str}", summary="Declare a trait")
async def declare_trait(
    name: str, data: DeclaredTrait, db: Database, now: Now, idempotency_key: Key = None
) -> DeclaredTrait:
    """Its type counts for values sent before, too."""

    async def work() -> DeclaredTrait:
        await operate.declare_trait(db, name, Declared(data.type, data.label_zh or name, data.label_en or name))
        return data

    return await repeatable(db, Asked(idempotency_key, f"trait {name}", data), DeclaredTrait, work, now)


@get("/api/lifecycle", summary="Lifecycle thresholds")
async def lifecycle_thresholds(db: Database) -> Thresholds:
    """Where one stage ends and the next begins."""
    return await operate.thresholds(db)


@put("/api/lifecycle", summary="Change lifecycle thresholds")
async def set_lifecycle_thresholds(data: Thresholds, db: Database, now: Now, idempotency_key: Key = None) -> Thresholds:
    """Counts at once for everybody."""

    async def work() -> Thresholds:
        await operate.set_thresholds(db, data, now())
        return data

    return await repeatable(db, Asked(idempotency_key, "lifecycle", data), Thresholds, work, now)


routes: list[Any] = [
    tag_tree,
    create_tag,
    move_tag,
    tagged_persons,
    trait_catalogue,
    declare_trait,
    lifecycle_thresholds,
    set_lifecycle_thresholds,
]
