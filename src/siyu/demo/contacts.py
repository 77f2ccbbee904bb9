"""What happens beside visits: follows, WeCom friends and groups, messages, check-ins, the shop counter."""

from __future__ import annotations

from typing import Final

import numpy as np

from siyu.demo import brand, dialects
from siyu.demo.book import DAY_MS, Book
from siyu.demo.dialects import external_ids, official_account, segment_track, sensors_who
from siyu.demo.ids import corp_kind
from siyu.demo.people import ARTICLE, CODE, COUNTER, MP, OA, STORE, WECOM, Flags, Ints, People
from siyu.demo.season import DAYS, Floats, hour_parts

_ROUND_DAYS: Final = 12
_REACHED: Final = 0.36
"""Part of the contacts that one round of messages goes to."""


class Contacts:
    """Writes into the book what customers do outside the shop's ends."""

    def __init__(self, book: Book, people: People, rng: np.random.Generator) -> None:
        self._book = book
        self._people = people
        self._rng = rng

    def write(self, weights: Floats) -> None:
        """Everything, for everybody."""
        followed = self._follows()
        befriended = self._friends()
        self._messages(np.where(np.isfinite(befriended), befriended, followed), np.isfinite(befriended))
        self._check_ins()
        self._counter(weights)

    def _times(self, days: Floats) -> Ints:
        """Times within days, at the hours people are awake."""
        hours = self._rng.choice(24, len(days), p=hour_parts())
        return (
            np.floor(days).astype(np.int64) * DAY_MS + hours * 3_600_000 + self._rng.integers(0, 3_600_000, len(days))
        )

    def _follows(self) -> Floats:
        """Official-account followers; the day each followed, infinite for others."""
        people, rng = self._people, self._rng
        who = np.flatnonzero(people.ends[:, OA])
        wait = np.where(people.channel[who] == ARTICLE, 0.0, rng.exponential(8.0, len(who)))
        at = self._times(people.arrival[who] + wait)
        articles = rng.poisson(2.2, len(who))
        leaves = rng.random(len(who)) < 0.09
        for person, when, reads, leave in zip(
            who.tolist(), at.tolist(), articles.tolist(), leaves.tolist(), strict=True
        ):
            state = f',"state":"{brand.CODES[3].state}"' if when % 5 == 0 else ""
            self._official("official_account.followed", person, when, f'"scene":"{1 + when % 4}"{state}')
            for turn in range(reads):
                title = brand.ARTICLES[(person + turn) % len(brand.ARTICLES)]
                later = when + 60_000 + (turn * 17 + person % 13) * DAY_MS // 2
                self._official("content.viewed", person, later, f'"title":"{title}","seconds":{20 + person % 160}')
            if leave:
                self._official("official_account.unfollowed", person, when + (20 + person % 60) * DAY_MS, "")
        days = np.full(len(people.salt), np.inf)
        days[who] = np.where(leaves, np.inf, at / DAY_MS)
        return days

    def _official(self, name: str, person: int, at: int, properties: str) -> None:
        book, ids = self._book, self._book.ids(person)
        identities = f'"{dialects.OA_OPENID}":"{ids.oa_openid}"'
        if self._people.unionid_known[person]:
            identities += f',"$identity_mp_unionid":"{ids.unionid}"'
        who = sensors_who(ids.oa_openid, identities)
        line = official_account(name, book.sensors_stamp(person, at), who, properties)
        book.write("official_account", at, line)

    def _friends(self) -> Floats:
        """WeCom contacts; the day each was added, infinite for others."""
        people, rng = self._people, self._rng
        who = np.flatnonzero(people.ends[:, WECOM])
        by_code = np.isin(people.channel[who], (CODE, COUNTER))
        at = self._times(people.arrival[who] + np.where(by_code, 0.0, rng.exponential(15.0, len(who))))
        joins = rng.random(len(who)) < 0.46
        leaves = rng.random(len(who)) < 0.07
        for person, when, joined, left in zip(who.tolist(), at.tolist(), joins.tolist(), leaves.tolist(), strict=True):
            code = brand.CODES[int(people.code[person])]
            staff = brand.STAFF[person % len(brand.STAFF)]
            told = f'"state":"{code.state}","place":"{code.place}","staff":"{staff}"'
            self._wecom("wecom.contact_added", person, when, told)
            if joined:
                group = brand.GROUPS[int(people.interest[person]) and 1 + int(people.interest[person]) % 2]
                self._wecom("wecom.group_joined", person, when + 240_000, f'"group":"{group}","staff":"{staff}"')
            if left:
                self._wecom("wecom.contact_deleted", person, when + (9 + person % 80) * DAY_MS, f'"staff":"{staff}"')
        days = np.full(len(people.salt), np.inf)
        days[who] = np.where(leaves, np.inf, at / DAY_MS)
        return days

    def _wecom(self, name: str, person: int, at: int, properties: str) -> None:
        book, ids = self._book, self._book.ids(person)
        known = [(corp_kind(), ids.external)]
        if self._people.unionid_known[person]:
            known.append(("unionid", ids.unionid))
        stamp = book.segment_stamp(person, at)
        line = segment_track(name, stamp, '"anonymousId":null', properties, external_ids(*known))
        book.write("wecom", at, line)

    def _messages(self, reachable_from: Floats, by_wecom: Flags) -> None:
        """Rounds of messages: delivered, opened, clicked. The refill reminder is the one that works."""
        rng = self._rng
        for number, day in enumerate(range(10, DAYS, _ROUND_DAYS)):
            campaign, title, opens, clicks = brand.MESSAGES[number % len(brand.MESSAGES)]
            who = np.flatnonzero((reachable_from < day - 1) & (rng.random(len(reachable_from)) < _REACHED))
            at = day * DAY_MS + 10 * 3_600_000 + rng.integers(0, 900_000, len(who))
            fate = rng.random(len(who))
            told = f'"campaign":"{campaign}","title":"{title}","round":{number}'
            for person, when, draw in zip(who.tolist(), at.tolist(), fate.tolist(), strict=True):
                tell = self._wecom if by_wecom[person] else self._official
                if draw > 0.985:
                    tell("message.failed", person, when, f'{told},"reason":"unreachable"')
                    continue
                tell("message.delivered", person, when, told)
                if draw < opens:
                    tell("message.opened", person, when + 60_000 + int(draw * 6e6), told)
                if draw < clicks:
                    tell("message.clicked", person, when + 90_000 + int(draw * 6e6), told)

    def _check_ins(self) -> None:
        """Streaks of daily check-ins in the mini-program by members who like them."""
        people, rng = self._people, self._rng
        who = np.flatnonzero(
            people.registers & people.ends[:, MP] & (people.tier >= 1) & (rng.random(len(people.tier)) < 0.12)
        )
        streaks = 1 + rng.poisson(np.array((0, 0.8, 1.8, 4.0))[people.tier[who]])
        for person, count in zip(who.tolist(), streaks.tolist(), strict=True):
            first = people.arrival[person] + 2
            if first >= DAYS - 1:
                continue
            starts = np.sort(rng.uniform(first, DAYS, count)).astype(int).tolist()
            lengths = rng.geometric(0.3, count).tolist()
            day = 0
            for start, length in zip(starts, lengths, strict=True):
                for streak in range(length):
                    day = max(day + (streak > 0), start + streak)
                    self._check_in(person, day, streak + 1)
                day += 2

    def _check_in(self, person: int, day: int, streak: int) -> None:
        book, ids = self._book, self._book.ids(person)
        at = day * DAY_MS + (8 + person % 4) * 3_600_000 + (person * 7919 + day * 104_729) % 3_600_000
        properties = f'"streak":{streak},"points":{5 + 5 * (streak % 7 == 0)}'
        who = f'"userId":"{ids.user}"'
        stamp = book.segment_stamp(person, at)
        line = segment_track("checkin", stamp, who, properties, '{"end":"mini_program"}')
        book.write("server", at, line)

    def _counter(self, weights: Floats) -> None:
        """Purchases at the counter, where the till knows a member card and a phone."""
        people, rng = self._people, self._rng
        who = np.flatnonzero(people.ends[:, STORE])
        count = 1 + rng.poisson(np.array((0.2, 0.9, 2.2, 5.0))[people.tier[who]])
        person = np.repeat(who, count)
        left = DAYS - people.arrival[person]
        days = people.arrival[person] + rng.random(len(person)) * left * rng.random(len(person))
        at = np.floor(days).astype(np.int64) * DAY_MS + rng.integers(10 * 3_600_000, 21 * 3_600_000, len(person))
        products = rng.integers(0, len(brand.PRODUCTS), len(person))
        for buyer, when, place in zip(person.tolist(), at.tolist(), products.tolist(), strict=True):
            self._till(buyer, when, place)

    def _till(self, person: int, at: int, place: int) -> None:
        book, ids, item = self._book, self._book.ids(person), brand.PRODUCTS[place]
        number = book.number(person)
        context = (
            f'{{"end":"store","externalIds":[{{"type":"member_card","id":"{ids.card}"}}],'
            f'"traits":{{"phone":"{ids.phone}"}}}}'
        )
        properties = (
            f'"order_id":"POS{person:05}{number:04}","sku":"{item.sku}","product":{dialects.quoted(item.name)},'
            f'"category":"{item.category}","quantity":1,"amount_fen":{item.price_fen},'
            f'"store":"{brand.STORES[person % len(brand.STORES)]}"'
        )
        stamp = book.segment_stamp(person, at)
        line = segment_track("order.paid", stamp, '"anonymousId":null', properties, context)
        book.write("store", at, line)
