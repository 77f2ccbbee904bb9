"""Whether this installation is well: each check is data, with what to do when it fails (`siyu doctor`)."""

from __future__ import annotations

import asyncio
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import uuid4

import pyarrow as pa

from siyu.clock import Now, system_now
from siyu.errors import SiyuError
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.embedded_postgres import lost_folders
from siyu.store.engines import Engines, is_home_in_use, open_engines
from siyu.store.postgres import Database

DISK_FREE_BYTES_MIN: Final = 2_000_000_000
DISK_FREE_SHARE_MIN: Final = 0.05
CLOCK_SECONDS_MAX: Final = 2.0
"""Engines and we may disagree about the time by this much."""
POSTGRES_VERSION_MIN: Final = 150_000
CLICKHOUSE_MAJOR_MIN: Final = 24


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    """What was found."""
    advice: str = ""
    """What to do when it is not ok; of one that is ok it makes a warning."""


async def run_checks(settings: Settings, now: Now = system_now) -> list[Check]:
    """Look at everything; never raises for what it finds."""
    checks = [check_home(settings), check_disk(settings), *check_lost(), check_port(settings), check_year(now)]
    context = open_engines(settings)
    try:
        engines = await asyncio.to_thread(context.__enter__)
    except (SiyuError, OSError) as error:
        advice = "Read the log in SIYU_HOME/log; set SIYU_DATABASE_URL and SIYU_EVENTS_URL to servers of yours if any."
        return [*checks, Check("engines", False, str(error), advice)]
    try:
        checks += await _guarded("postgresql", lambda: check_postgres(engines, now), "SIYU_DATABASE_URL")
        checks += await _guarded("clickhouse", lambda: check_clickhouse(engines, now), "SIYU_EVENTS_URL")
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
    return checks


async def _guarded(name: str, look: Callable[[], Awaitable[list[Check]]], setting: str) -> list[Check]:
    try:
        return await look()
    except Exception as error:  # a check reports, whatever goes wrong
        advice = f"Is the server up, and does {setting} name it with the right user and password?"
        return [Check(name, False, f"{type(error).__name__}: {error}", advice)]


def check_home(settings: Settings) -> Check:
    """The data folder is ours and closed to others."""
    home = settings.home_path
    if not home.exists():
        return Check("home", True, f"{home} does not exist yet; the first start makes it")
    mode = stat.S_IMODE(home.stat().st_mode)
    open_secrets = [
        str(path.relative_to(home))
        for path in (*home.glob("*.json"), *home.glob("*/*.json"))
        if path.stat().st_mode & 0o077
    ]
    if open_secrets:
        advice = f"chmod 600 {' '.join(open_secrets)} (in {home})"
        return Check("home", False, f"others can read {', '.join(open_secrets)}", advice)
    return Check("home", True, f"{home}, mode {mode:04o}")


def check_disk(settings: Settings) -> Check:
    """There is room for data to grow."""
    place = settings.home_path
    while not place.exists():
        place = place.parent
    total, _, free = shutil.disk_usage(place)
    enough = free >= DISK_FREE_BYTES_MIN and free >= total * DISK_FREE_SHARE_MIN
    detail = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB"
    return Check("disk", enough, detail, "" if enough else f"Make room, or move SIYU_HOME away from {place}.")


def check_lost() -> list[Check]:
    """Started as root, databases stand outside of their homes and outlive a home that is removed by hand."""
    lost = lost_folders()
    if not lost:
        return []
    size = sum(path.lstat().st_size for folder in lost for path in folder.rglob("*"))
    detail = f"{len(lost)} of homes that are gone take {size / 1e9:.1f} GB: {', '.join(map(str, lost[:10]))}"
    return [Check("lost databases", True, f"{detail}. Remove them, unless their homes are only not mounted now.")]


def check_port(settings: Settings) -> Check:
    """The port is free, or ours."""
    where = f"{settings.host}:{settings.port}"
    family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if is_home_in_use(settings):
                return Check("port", True, f"{where} is taken, and a siyu server is running on this home")
            return Check("port", False, f"{where}: {error.strerror}", "Stop what listens there, or set SIYU_PORT.")
    return Check("port", True, f"{where} is free")


def check_year(now: Now) -> Check:
    """The clock is not that of a machine that lost its battery."""
    moment = now()
    sane = datetime(2026, 1, 1, tzinfo=UTC) < moment < datetime(2100, 1, 1, tzinfo=UTC)
    advice = "" if sane else "Set the machine's time (NTP): every event is dated by it."
    return Check("clock", sane, moment.isoformat(timespec="seconds"), advice)


async def check_postgres(engines: Engines, now: Now) -> list[Check]:
    """Version, durability and clock of PostgreSQL."""
    database = await Database.open(engines.database_url, connections_max=1)
    try:
        async with database.driver() as connection:
            version = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
            shown = await connection.fetchval("SELECT current_setting('server_version')")
            names = ("fsync", "synchronous_commit", "full_page_writes")
            values = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in names}
            read_only = await connection.fetchval("SELECT pg_is_in_recovery()")
            distance = abs((await connection.fetchval("SELECT clock_timestamp()") - now()).total_seconds())
    finally:
        await database.close()
    weak = [f"{name} = {value}" for name, value in values.items() if value == "off"]
    return [
        Check(
            "postgresql",
            version >= POSTGRES_VERSION_MIN and not read_only,
            f"version {shown}" + (", read-only standby" if read_only else ""),
            ""
            if version >= POSTGRES_VERSION_MIN and not read_only
            else "PostgreSQL 15 or newer, the primary, is needed.",
        ),
        Check(
            "postgresql durability",
            not weak,
            ", ".join(weak) or "fsync, synchronous_commit and full_page_writes are on",
            "Switch them on: events answered as accepted could be lost in a power cut." if weak else "",
        ),
        _clock_check("postgresql clock", distance),
    ]


async def check_clickhouse(engines: Engines, now: Now) -> list[Check]:
    """Version, clock, and a round trip of rows through the driver: inserted twice under one token, stored once."""
    store = await EventStore.open(engines.events_url, threads_max=1)
    table = f"doctor_{uuid4().hex}"
    try:
        ((version, moment),) = await store.rows("SELECT version(), now64(3, 'UTC')")
        distance = abs((moment - now()).total_seconds())
        await store.command(
            f"CREATE TABLE {table} (n UInt32) ENGINE = MergeTree ORDER BY n "
            "SETTINGS non_replicated_deduplication_window = 10"
        )
        try:
            for _ in range(2):
                await store.insert(table, pa.table({"n": pa.array([1, 2, 3], pa.uint32())}), "doctor")
            ((stored,),) = await store.rows(f"SELECT count() FROM {table}")
        finally:
            await store.command(f"DROP TABLE {table}")
    finally:
        await store.close()
    new_enough = int(version.partition(".")[0]) >= CLICKHOUSE_MAJOR_MIN
    return [
        Check(
            "clickhouse", new_enough, f"version {version}", "" if new_enough else "ClickHouse 24 or newer is needed."
        ),
        Check(
            "clickhouse round trip",
            stored == 3,
            f"3 rows sent twice under one token, {stored} stored",
            "" if stored == 3 else "This server does not deduplicate inserts: a replay would count events twice.",
        ),
        _clock_check("clickhouse clock", distance),
    ]


def _clock_check(name: str, seconds: float) -> Check:
    agrees = seconds <= CLOCK_SECONDS_MAX
    return Check(name, agrees, f"{seconds:.1f} s from ours", "" if agrees else "Set both clocks by NTP.")
