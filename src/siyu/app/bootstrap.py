"""What a start prepares: tables, and at the first start the first keys and the first operator."""

from __future__ import annotations

import msgspec

from siyu.app.services import open_services
from siyu.clock import system_now
from siyu.collect import actions as keys
from siyu.console.actions import ensure_admin
from siyu.settings import Settings
from siyu.store.files import write_private
from siyu.store.migrate import migrate


async def prepare_stores(settings: Settings) -> None:
    """Bring both databases to this version's tables. Idempotent; safe when several processes start at once."""
    async with open_services(settings) as services:
        await migrate(services.db)
        await services.events.create_all()


async def bootstrap(settings: Settings) -> dict[str, str]:
    """Tables, and at the first start the first keys and the first operator; what the start shows to people.

    What was made here is kept in SIYU_HOME/credentials.json (0600), so that later starts can show it again."""
    await prepare_stores(settings)
    path = settings.home_path / "credentials.json"
    known: dict[str, str] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    async with open_services(settings) as services:
        name, password = await ensure_admin(services.db, settings.admin_password, system_now())
        shown = await keys.ensure_first_keys(
            services.db, write_key=settings.write_key, api_token=settings.api_token, now=system_now()
        )
    fresh = {"console_user": name} | {key: value for key, value in shown.items() if value}
    if password:
        fresh["console_password"] = password
    credentials = known | fresh
    if credentials != known:
        write_private(path, msgspec.json.encode(credentials))
    return credentials
