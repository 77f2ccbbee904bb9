"""A visit to mini-program, website or app: what the customer does there, and how the ends get to know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from siyu.demo import brand, dialects
from siyu.demo.accounts import Accounts
from siyu.demo.book import Book
from siyu.demo.dialects import mini_program, posthog, quoted, segment_page, segment_track
from siyu.demo.orders import Orders
from siyu.demo.people import APP, CAMPAIGN, CODE, COUNTER, MP, SHARE, WEB, People
from siyu.demo.visits import popularity

_END_NAMES: Final = {MP: "mini_program", WEB: "web", APP: "app"}
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


class Shopping:
    """Writes visits into the book. Visits must come in order of time."""

    def __init__(self, book: Book, people: People) -> None:
        self._book = book
        self._people = people
        self._accounts = Accounts(book, people)
        self._orders = Orders(book)
        self._likings = [popularity(interest) for interest in range(3)]
        self._ends = people.ends.tolist()
        self._channel = people.channel.tolist()
        self._interest = people.interest.tolist()
        self._registers = people.registers.tolist()
        self._second_device = people.second_device.tolist()

    def visit(
        self, person: int, end: int, at: int, first: bool, views: int, wants: float, refill: bool, draws: Sequence[float]
    ) -> None:
        """One visit. `draws` are visits.DRAWS uniform numbers."""
        accounts = self._accounts
        second = self._second_device[person] and draws[15] < 0.4
        at += 1_000
        self._open(person, end, at, first, second)
        if accounts.registered[person]:
            at += 4_000
            if draws[0] < 0.8:
                accounts.log_in(person, end, at, second)
        elif self._registers[person] and (not first or draws[0] < 0.55):
            at += 25_000
            accounts.register(person, end, at, second, draws[1])
        if draws[1] < 0.55:
            at += 6_000
            self._do(person, end, second, "product.list_viewed", at, f'"list":"{("home", "sale", "search")[views % 3]}"')
        product = 0
        places, edges = self._likings[self._interest[person]]
        for view in range(views):
            at += 9_000 + int(draws[2 + view % 4] * 50_000)
            draw = (draws[2 + view % 4] * 7.31 + view * 0.37) % 1.0
            product = places[min(int(edges.searchsorted(draw)), len(places) - 1)]
            self._do(person, end, second, "product.viewed", at, _PRODUCTS[product])
        if end == MP and draws[6] > 0.945:
            self._do(person, end, second, "share.sent", at + 2_000, f'{_PRODUCTS[product]},"target":"friend"')
        if draws[6] < wants:
            self._buy(person, end, second, at + 8_000, product, refill, draws)

    def _buy(
        self, person: int, end: int, second: bool, at: int, product: int, refill: bool, draws: Sequence[float]
    ) -> None:
        self._do(person, end, second, "cart.added", at, f'{_PRODUCTS[product]},"quantity":1')
        # The app's checkout asks for more, so fewer finish it: something for a funnel by end to find.
        orders = (0.93 if refill else 0.62) - (0.16 if end == APP else 0.0)
        if draws[7] >= orders:
            return
        accounts = self._accounts
        at += 15_000
        if not accounts.registered[person]:
            if not self._registers[person]:
                self._do(person, end, second, "order.checkout_started", at, _PRODUCTS[product])
                return
            accounts.register(person, end, at, second, draws[1])
            at += 20_000
        accounts.log_in(person, end, at, second)
        self._do(person, end, second, "order.checkout_started", at, _PRODUCTS[product])
        pays = 0.97 if refill else 0.86
        self._orders.order(person, _END_NAMES[end], at + 30_000, product, draws[8:16], pays)

    def _open(self, person: int, end: int, at: int, first: bool, second: bool) -> None:
        """The first thing an end tells: where the visitor came from."""
        book, channel = self._book, self._channel[person]
        if end == MP:
            self._do(person, end, second, "$MPLaunch", at, self._scene(person, first, channel))
            return
        if end == APP:
            ids = book.ids(person)
            context = dialects.APP_CONTEXT[:-1] + f',"device":{{"id":"{ids.device}","model":"M2012"}}}}'
            who = f'"anonymousId":"{ids.app_install}"'
            line = segment_track("app.opened", book.message_id(person), book.time(at), who, "", context)
            book.write("app", at, line)
            return
        if first and channel == CAMPAIGN:
            campaign = int(self._people.campaign[person])
            self._land(person, at - 500, campaign)
            context = _CAMPAIGN_CONTEXTS[campaign]
        else:
            context = _SEARCH_CONTEXT if first else dialects.WEB_CONTEXT
        who = self._accounts.who(person, WEB, second)
        book.write("web", at, segment_page(book.message_id(person), book.time(at), who, "首页", "/", context))

    def _scene(self, person: int, first: bool, channel: int) -> str:
        if first and channel == SHARE and self._people.inviter[person] >= 0:
            inviter = self._book.ids(int(self._people.inviter[person])).user
            return f'"$scene":"{brand.SCENES["share"]}","inviter":"{inviter}","path":"pages/item"'
        if first and channel in {CODE, COUNTER}:
            state = brand.CODES[int(self._people.code[person])].state
            return f'"$scene":"{brand.SCENES["code"]}","state":"{state}","path":"pages/home"'
        scene = "article" if channel == 3 else "search"
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
        book.write("landing", at, posthog("$pageview", book.uuid(person), book.time(at), distinct, properties))

    def _do(self, person: int, end: int, second: bool, name: str, at: int, properties: str) -> None:
        book = self._book
        if end == MP:
            distinct, identities = self._accounts.mini_program_identity(person)
            line = mini_program("track", name, book.number(person), book.ms(at), distinct, identities, properties)
            book.write("mini_program", at, line)
            return
        context = dialects.WEB_CONTEXT if end == WEB else dialects.APP_CONTEXT
        who = self._accounts.who(person, end, second)
        line = segment_track(name, book.message_id(person), book.time(at), who, properties, context)
        book.write("web" if end == WEB else "app", at, line)
