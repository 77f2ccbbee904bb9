"""All settings in one frozen Struct: environment over `siyu.toml` over defaults. docs/settings.md lists them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from siyu.errors import SiyuError


class WrongSetting(SiyuError):
    """A setting has a value that cannot be used; the message names it."""

    code = "WRONG_SETTING"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one server. The environment name is `SIYU_` + the upper-case field name."""

    home: str = "./.siyu"
    host: str = "127.0.0.1"
    port: int = 8000
    database_url: str | None = None
    events_url: str | None = None
    stream_url: str | None = None
    timezone: str = "Asia/Shanghai"
    locale: str = "zh_CN"
    secret_key: str | None = None
    write_key: str | None = None
    api_token: str | None = None
    admin_password: str | None = None
    test_clock: bool = False
    event_bytes_max: int = 32 * 1024
    batch_bytes_max: int = 500 * 1024
    request_bytes_max: int = 4_000 * 1024
    batch_events_max: int = 5_000
    pending_events_max: int = 400_000
    """Events made durable but not yet processed, above which doors answer 429 (where the SDK resends)."""
    identifiers_per_person_max: int = 1_000
    future_seconds_max: int = 3_600
    """An event further in the future is set to its time of receipt and marked."""
    question_seconds_max: int = 60
    wechat_api_url: str = "https://api.weixin.qq.com"
    """Where WeChat answers."""
    points_adjust_max: int = 1_000
    """Points that one person may adjust by hand; above it a second one must approve."""
    order_pay_seconds: int = 1_800
    """An order that is not paid within this time lapses: stock, coupon and points are free again."""

    order_receive_days: int = 10
    """Goods that left count as received after so many days; 0: never."""
    order_complete_days: int = 15
    """An order whose goods were received is completed after so many days; 0: never."""

    points_per_yuan: int = 100
    """Points that pay one yuan of an order."""

    @property
    def home_path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.home).expanduser().resolve()


def load_settings(environ: Mapping[str, str] | None = None, toml_path: Path | None = None) -> Settings:
    """Settings from the environment and `siyu.toml` (working folder).

    Raises WrongSetting when a value has the wrong type or the file has an unknown name."""
    environ = os.environ if environ is None else environ
    path = toml_path or Path("siyu.toml")
    values: dict[str, Any] = {}
    if path.exists():
        values = {name.removeprefix("siyu_"): value for name, value in tomllib.loads(path.read_text()).items()}
    known = set(Settings.__struct_fields__)
    if unknown := sorted(set(values) - known):
        raise WrongSetting(f"{path} has unknown settings: {', '.join(unknown)}")
    for name in known:
        if (text := environ.get("SIYU_" + name.upper())) is not None and text != "":
            values[name] = text
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise WrongSetting(f"A setting cannot be used: {error}") from error
