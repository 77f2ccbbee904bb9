"""A visit to mini-program, website or app: what the customer does there."""

from __future__ import annotations

from typing import Final

from siyu.demo import brand, dialects
from siyu.demo.accounts import Accounts
from siyu.demo.book import Book
from siyu.demo.dialects import posthog, quoted, segment_page, segment_track
from siyu.demo.orders import Orders
from siyu.demo.people import APP, ARTICLE, CAMPAIGN, CODE, COUNTER, MP, SHARE, People
from siyu.demo.visits import Visit, Visitor, popularity

_PRODUCTS: Final = tuple(
    f'"sku":"{item.sku}","product":{quoted(item.name)},"category":{quoted(item.category)},"price_fen":{item.price_fen}'
    for item in brand.PRODUCTS
)
_CAMPAIGN_CONTEXTS: Final = tuple(
    f'{{"library":{{"name":"analytics.js","version":"2.11.1"}},"campaign":{{"source":"{item.source}",'
    f'"medium":"{item.medium}","name":"{item.name}","content":"{item.content}"}}}}'
    for item in brand.CAMPAIGNS
)
_SEARCH_CONTEXT: Final = (
    '{"library":{"name":"analytics.js","version":"2.11.1"},"page":{"referrer":"https://www.baidu.com/","url":"'
    + brand.SITE
    + '/"}}'
)
_LISTS: Final = ("home", "sale", "search")
_COMES_BACK: Final = 0.45
"""Part of the first visits after which people who will register come back before they do."""


class Shopping:
    """Writes visits into the book. Visits must come in order of time."""

    def __init__(self, book: Book, people: People) -> None:
        self._book = book
        self._people = people
        self._accounts = Accounts(book, people)
        self._orders = Orders(book)
        self._likings = [popularity(interest) for interest in range(3)]
        self._channel: list[int] = people.channel.tolist()
        self._interest: list[int] = people.interest.tolist()
        self._registers: list[bool] = people.registers.tolist()
        self._second_device: list[bool] = people.second_device.tolist()

    def visit(self, visit: Visit) -> None:
        """One visit, with all that follows from it."""
        accounts, draws, person = self._accounts, visit.draws, visit.person
        second = self._second_device[person] and draws[15] < 0.4
        visitor = Visitor(person, visit.end, second)
        at = visit.at_ms + 1_000
        self._open(visitor, at, first=visit.first == 1)
        if accounts.registered[person]:
            at += 4_000
            if draws[0] < 0.8:
                accounts.log_in(visitor, at)
        elif self._registers[person] and (not visit.first or draws[0] > _COMES_BACK):
            at += 25_000
            accounts.register(visitor, at, draws[1])
        if draws[1] < 0.55:
            at += 6_000
            accounts.track(visitor, "product.list_viewed", at, f'"list":"{_LISTS[visit.views % 3]}"')
        product = 0
        for view in range(visit.views):
            at += 9_000 + int(draws[2 + view % 4] * 50_000)
            product = self._liked(person, (draws[2 + view % 4] * 7.31 + view * 0.37) % 1.0)
            accounts.track(visitor, "product.viewed", at, _PRODUCTS[product])
        if visit.end == MP and draws[6] > 0.945:
            accounts.track(visitor, "share.sent", at + 2_000, f'{_PRODUCTS[product]},"target":"friend"')
        if draws[6] < visit.wants:
            self._buy(visitor, visit, at + 8_000, product)

    def _liked(self, person: int, draw: float) -> int:
        places, edges = self._likings[self._interest[person]]
        return places[min(int(edges.searchsorted(draw)), len(places) - 1)]

    def _buy(self, visitor: Visitor, visit: Visit, at: int, product: int) -> None:
        accounts, draws, person = self._accounts, visit.draws, visitor.person
        accounts.track(visitor, "cart.added", at, f'{_PRODUCTS[product]},"quantity":1')
        # The app's checkout asks for more, so fewer finish it: something for a funnel by end to find.
        orders = (0.93 if visit.refill else 0.62) - (0.16 if visitor.end == APP else 0.0)
        if draws[7] >= orders:
            return
        at += 15_000
        accounts.track(visitor, "order.checkout_started", at, _PRODUCTS[product])
        if not accounts.registered[person]:
            if not self._registers[person]:
                return
            accounts.register(visitor, at + 2_000, draws[1])
        accounts.log_in(visitor, at + 9_000)
        self._orders.order(visitor, at + 30_000, product, draws[8:], 0.97 if visit.refill else 0.86)

    def _open(self, visitor: Visitor, at: int, first: bool) -> None:
        """The first thing an end tells: where the visitor came from."""
        book, person = self._book, visitor.person
        channel = self._channel[person]
        if visitor.end == MP:
            self._accounts.track(visitor, "$MPShow", at, self._scene(person, first, channel))
            return
        stamp = book.segment_stamp(person, at)
        if visitor.end == APP:
            ids = book.ids(person)
            context = f'{dialects.APP_CONTEXT[:-1]},"device":{{"id":"{ids.device}","model":"M2012"}}}}'
            who = f'"anonymousId":"{ids.app_install}"'
            book.write("app", at, segment_track("app.opened", stamp, who, "", context))
            return
        if first and channel == CAMPAIGN:
            campaign = int(self._people.campaign[person])
            self._land(person, at - 500, campaign)
            context = _CAMPAIGN_CONTEXTS[campaign]
        else:
            context = _SEARCH_CONTEXT if first else dialects.WEB_CONTEXT
        book.write("web", at, segment_page(stamp, self._accounts.who(visitor), "首页", "/", context))

    def _scene(self, person: int, first: bool, channel: int) -> str:
        if first and channel == SHARE and self._people.inviter[person] >= 0:
            inviter = self._book.ids(int(self._people.inviter[person])).user
            return f'"$scene":"{brand.SCENES["share"]}","inviter":"{inviter}","path":"pages/item"'
        if first and channel in {CODE, COUNTER}:
            state = brand.CODES[int(self._people.code[person])].state
            return f'"$scene":"{brand.SCENES["code"]}","state":"{state}","path":"pages/home"'
        scene = "article" if channel == ARTICLE else "search"
        return f'"$scene":"{brand.SCENES[scene]}","path":"pages/home"'

    def _land(self, person: int, at: int, campaign: int) -> None:
        """The campaign's landing page, which speaks PostHog."""
        book, item = self._book, brand.CAMPAIGNS[campaign]
        distinct = book.ids(person).landing
        url = f"{brand.SITE}/hi?utm_source={item.source}&utm_medium={item.medium}&utm_campaign={item.name}"
        properties = (
            f'"$current_url":"{url}","$device_id":"{distinct}","$is_identified":false,"utm_source":"{item.source}",'
            f'"utm_medium":"{item.medium}","utm_campaign":"{item.name}","utm_content":"{item.content}"'
        )
        book.write("landing", at, posthog("$pageview", book.posthog_stamp(person, at), distinct, properties))
