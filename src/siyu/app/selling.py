"""What orders, quotes and locks are made with, out of the services of a process."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from siyu.app.services import Services
from siyu.coupons.pricing import Pricing
from siyu.ledger import Ledger
from siyu.shop.placing import Tools
from siyu.shop.product_records import articles_of


def order_tools(services: Services, ledger: Ledger) -> Tools:
    """One for a process; `ledger`: the one that its points move in."""
    settings = services.settings
    zone = ZoneInfo(settings.timezone)
    pricing = Pricing(services.events, ledger, zone, services.secret, settings.points_per_yuan, articles_of)
    return Tools(pricing, settings.order_pay_seconds)
