"""The work of `siyu person`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import click

from siyu.app.scrubs import ERASURE_SCRUBS, EXPORT_FILES
from siyu.app.services import Services
from siyu.cli.engines import with_services
from siyu.cli.tables import print_json, print_table
from siyu.cli.words import say
from siyu.collect.identifiers import email_address, known_kind, phone_number
from siyu.errors import MalformedRequest, PersonNotFound, SiyuError
from siyu.profile import actions, event_records, read, rights
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.rights import Receipt
from siyu.profile.rights_records import Record
from siyu.profile.timeline import Page, Timeline
from siyu.settings import Settings

_BY = "cli"
_BARE_KINDS = ("user_id", "unionid", "member_card", "anonymous_id", "device")


class AmbiguousIdentifier(SiyuError):
    """A bare value names several persons; the message lists them."""

    code = "AMBIGUOUS_IDENTIFIER"
    status = 409


class Erasure(NamedTuple):
    """How somebody is to be erased."""

    yes: bool
    """Without a question."""
    dry_run: bool
    reason: str
    as_json: bool


def show_person(settings: Settings, identifier: str, events: int, as_json: bool) -> None:
    """Portrait and the newest events."""

    async def work(services: Services) -> tuple[Portrait, Timeline]:
        moment = _moment(services)
        found = await _find(services, identifier, moment)
        page = Page(max(events, 1))
        return found, await actions.timeline(services.db, services.events, UUID(found.person_id), page)

    found, timeline = with_services(settings, work)
    items = timeline.items[:events]
    if as_json:
        print_json({"person": found, "events": items})
        return
    _print_portrait(found)
    if items:
        click.echo()
        heads = say("time event end identifier", "时间 事件 端 标识").split()
        print_table(heads, [[_short(e.occurred_at), e.name, e.end, ":".join(e.identifier.values())] for e in items])


def export_person(settings: Settings, identifier: str, out: Path | None) -> Path:
    """Write the archive, readable by its owner only; where it is."""

    async def work(services: Services) -> Path:
        moment = _moment(services)
        person_id = (await _find(services, identifier, moment)).person_id
        path = (out or Path(f"person-{person_id}.zip")).resolve()
        record = Record(uuid4(), [], moment.now, _BY)
        subject = await rights.open_export(services.db, UUID(person_id), moment, record, str(path))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for piece in rights.export(services.db, services.events, subject, moment.now, EXPORT_FILES):
                file.write(piece)
        return path

    return with_services(settings, work)


def erase_person(settings: Settings, identifier: str, wanted: Erasure) -> None:
    """Dry run, question, erasure, receipt."""

    async def work(services: Services) -> Receipt | None:
        moment = _moment(services)
        found = await _find(services, identifier, moment)
        click.echo(say("This will be removed for ever:", "以下内容将被永久删除："), err=True)
        for line in await _what_goes(services, found):
            click.echo(f"  {line}", err=True)
        if wanted.dry_run:
            return None
        if not wanted.yes:
            click.confirm(say("Erase this person?", "确认删除？"), abort=True, err=True)
        record = Record(uuid4(), [], services.now(), _BY)
        identifiers_max = services.settings.identifiers_per_person_max
        order = rights.Order(record, wanted.reason, ERASURE_SCRUBS, identifiers_max)
        return await rights.erase(services.db, services.events, UUID(found.person_id), order)

    receipt = with_services(settings, work)
    if receipt is None:
        return
    if wanted.as_json:
        print_json(receipt)
        return
    click.echo(say(f"Erased. Receipt {receipt.receipt_id}", f"已删除。回执 {receipt.receipt_id}"))
    print_table(say("store rows", "存储 行数").split(), sorted(receipt.rows.items()))


async def _what_goes(services: Services, found: Portrait) -> list[str]:
    async with services.db.driver() as connection:
        spans = await actions.spans_of(connection, UUID(found.person_id))
        changes = await read.trait_events(connection, spans)
        touches = await read.touches(connection, spans, None)
    stored = await event_records.count(services.events, spans)
    named = ", ".join(f"{item.kind}:{item.value}" for item in found.identifiers)
    return [
        say(f"identifiers  {named}", f"标识  {named}"),
        say(f"events       {stored:,}", f"事件  {stored:,}"),
        say(
            f"traits       {len(found.traits)} ({len(changes)} changes)",
            f"特征  {len(found.traits)}（{len(changes)} 次变更）",
        ),
        say(f"tags         {', '.join(found.tags) or 0}", f"标签  {', '.join(found.tags) or 0}"),
        say(f"touches      {len(touches)}", f"触点  {len(touches)}"),
    ]


async def _find(services: Services, identifier: str, moment: Moment) -> Portrait:
    """The person an identifier names. Raises PersonNotFound, AmbiguousIdentifier."""
    try:
        return await actions.show(services.db, UUID(identifier), moment)
    except ValueError:
        pass
    found: dict[str, Portrait] = {}
    spelled: list[str] = []
    for kind, value in meanings(identifier):
        try:
            person = await actions.lookup(services.db, kind, value, services.secret, moment)
        except PersonNotFound:
            continue
        if person.person_id not in found:
            found[person.person_id] = person
            spelled.append(f"{kind}={value} ({person.person_id})")
    if len(found) > 1:
        raise AmbiguousIdentifier(
            f"{identifier!r} names {len(found)} persons: {', '.join(spelled)}. Say which kind, or the person id."
        )
    if not found:
        word, equals, _ = identifier.partition("=")
        hint = f" {word!r} is no identifier kind." if equals and not known_kind(word) else ""
        raise PersonNotFound(f"Nobody is known as {identifier!r}.{hint}")
    return next(iter(found.values()))


def meanings(identifier: str) -> Iterator[tuple[str, str]]:
    """(kind, value) that a text may mean, the surest first: `kind=value`, `kind:value`, or a bare value.

    Raises MalformedRequest when what stands before a colon is no kind."""
    named, equals, rest = identifier.partition("=")
    kind, colon, value = identifier.partition(":")
    if equals and known_kind(named):
        yield named, rest
        if ":" in named:
            yield kind, value
        return
    if colon and known_kind(kind):
        scope, second, scoped = value.partition(":")
        if second and known_kind(f"{kind}:{scope}"):
            yield f"{kind}:{scope}", scoped
        yield kind, value
        return
    if colon:
        raise MalformedRequest(f"{kind!r} is no identifier kind.")
    if phone_number(identifier) is not None:
        yield "phone", identifier
    if email_address(identifier) is not None:
        yield "email", identifier
    for bare in _BARE_KINDS:
        yield bare, identifier


def _print_portrait(person: Portrait) -> None:
    rows = [
        (say("person", "编号"), person.person_id),
        (say("seen", "活跃"), f"{_short(person.first_seen)} – {_short(person.last_seen)}"),
        *((say("identifier", "标识"), f"{item.kind}:{item.value}") for item in person.identifiers),
        *((say("trait", "特征"), f"{name} = {value}") for name, value in person.traits.items()),
        *((say("tag", "标签"), tag) for tag in person.tags),
        (say("lifecycle", "生命周期"), str(getattr(person.lifecycle, "value", person.lifecycle))),
        ("RFM", f"R {person.rfm.recency_days} d · F {person.rfm.frequency} · M ¥{person.rfm.monetary_fen / 100:,.2f}"),
    ]
    if person.first_touch is not None:
        came = ", ".join(f"{name}={value}" for name, value in person.first_touch.fields.items())
        rows.append((say("came from", "来源"), came))
    print_table((say("field", "字段"), say("value", "值")), rows)


def _short(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _moment(services: Services) -> Moment:
    return Moment(services.now(), ZoneInfo(services.settings.timezone))
