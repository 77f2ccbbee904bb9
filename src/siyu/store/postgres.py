"""What is true now: PostgreSQL through one pool of asyncpg connections, shared by SQLAlchemy Core and the bare driver.

Connection loss, a server that starts or stops, a full disk and an exhausted pool all become `EngineUnavailable`; the
next call after the server's return works again, without a restart of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from siyu.errors import Contended, EngineUnavailable
from siyu.store.metadata import metadata

CONNECT_SECONDS_MAX: Final = 5.0
COMMAND_SECONDS_MAX: Final = 120.0
"""A statement that takes longer counts as a lost server. Long COPYs pass their own `timeout`."""
POOL_WAIT_SECONDS_MAX: Final = 10.0
PING_SECONDS_MAX: Final = 5.0

_GONE_CLASSES: Final = ("08", "53", "57P")
"""SQLSTATE prefixes: connection failure, out of a resource (disk, memory, connections), shutdown or start-up."""
_READ_ONLY: Final = "25006"
_DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def is_loss(error: BaseException | None) -> bool:
    """Whether `error`, or what it wraps, says that the server cannot work now."""
    while error is not None:
        state = getattr(error, "sqlstate", None)
        if isinstance(state, str) and (state.startswith(_GONE_CLASSES) or state == _READ_ONLY):
            return True
        if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
            return True
        if isinstance(error, exc.TimeoutError | ConnectionError | asyncpg.InternalClientError):
            return True
        if isinstance(error, asyncpg.InterfaceError) and "clos" in str(error):
            return True
        error = error.orig if isinstance(error, exc.DBAPIError) else error.__cause__
    return False


def _unavailable(error: BaseException) -> EngineUnavailable:
    reason = str(error).strip().splitlines()
    return EngineUnavailable(
        f"PostgreSQL does not answer: {reason[0] if reason else type(error).__name__}", engine="postgresql"
    )


def _refuse_closed(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
    """Pool checkout without a round trip: a connection whose socket is gone takes all its siblings with it."""
    if connection.driver_connection.is_closed():
        raise exc.InvalidatePoolError("the server closed this connection")


async def driver_of(connection: AsyncConnection) -> Any:
    """The bare asyncpg connection under `connection`, inside its transaction."""
    driver = (await connection.get_raw_connection()).driver_connection
    if driver is not None and not driver.is_in_transaction():
        # SQLAlchemy sends BEGIN with its first statement only; before that the driver would commit each of its own.
        await connection.exec_driver_sql("SELECT 1")
    return driver


def transient(error: Exception) -> bool:
    """Whether a transaction that failed so may succeed when done again: contention, deadlock, serialisation."""
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    return isinstance(error, Contended) or str(getattr(cause, "sqlstate", "")).startswith("40")


class Database:
    """One PostgreSQL database. Safe for concurrent use within one event loop."""

    def __init__(self, engine: AsyncEngine, connect: Callable[[], Awaitable[Any]]) -> None:
        self._engine = engine
        self._connect = connect

    @classmethod
    async def open(cls, dsn: str, *, connections_max: int = 16) -> Database:
        """Connect to `dsn` (`postgresql://…`, any libpq URI). Raises EngineUnavailable when it does not answer."""

        async def connect() -> asyncpg.Connection:
            return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX, command_timeout=COMMAND_SECONDS_MAX)

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=connections_max,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS_MAX,
            pool_use_lifo=True,
        )
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
        database = cls(engine, connect)
        try:
            await database.ping()
        except BaseException:
            await engine.dispose()
            raise
        return database

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection; what is not committed is rolled back at the end. Raises EngineUnavailable."""
        connection = self._engine.connect()
        try:
            await connection.start()
        except (OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        except Exception as error:
            if is_loss(error):
                raise _unavailable(error) from error
            raise
        try:
            yield connection
        except asyncio.CancelledError:
            # The statement may still be running on it: nobody else shall get this connection.
            await connection.invalidate()
            raise
        except (*_DRIVER_ERRORS, exc.SQLAlchemyError, ConnectionError) as error:
            if not is_loss(error):
                raise
            await connection.invalidate(error)
            raise _unavailable(error) from error
        finally:
            await connection.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction: committed at the end, rolled back on error. Raises EngineUnavailable."""
        async with self.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A bare asyncpg connection in a transaction: committed at the end, rolled back on error; for what is asked all
        the time. Raises EngineUnavailable."""
        async with self.driver() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """A bare asyncpg connection (COPY, UNNEST) from the same pool, in autocommit. Raises EngineUnavailable."""
        async with self.connect() as connection:
            raw = await connection.get_raw_connection()
            yield raw.driver_connection

    async def listen(self, channel: str, call: Callable[[], object]) -> Any:
        """A connection of its own; every NOTIFY of `channel` calls `call`. `close` it. Raises EngineUnavailable."""

        def notified(*_: object) -> None:
            call()

        try:
            connection = await self._connect()
            await connection.add_listener(channel, notified)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise _unavailable(error) from error
        return connection

    async def ping(self) -> None:
        """One round trip, within PING_SECONDS_MAX. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(PING_SECONDS_MAX), self.driver() as connection:
                await connection.execute("SELECT 1")
        except TimeoutError as error:
            raise _unavailable(error) from error

    async def create_all(self) -> None:
        """Create the tables declared so far on `metadata` that do not exist yet."""
        async with self.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
