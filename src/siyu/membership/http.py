"""All routes of membership."""

from __future__ import annotations

from typing import Any

from siyu.membership import http_checkins, http_tiers

routes: list[Any] = [*http_tiers.routes, *http_checkins.routes]
