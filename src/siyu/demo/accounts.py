"""How the ends get to know a customer: registration, login, the binding of phone and WeChat, and its accidents."""

from __future__ import annotations

from typing import Final

from siyu.demo import brand, dialects
from siyu.demo.book import Book
from siyu.demo.dialects import (
    BIND,
    PROFILE,
    SIGNUP,
    Kind,
    mini_program,
    posthog,
    quoted,
    segment_alias,
    segment_identify,
    segment_track,
    sensors_who,
)
from siyu.demo.people import APP, CAMPAIGN, ENDS, MP, SHARE, WEB, People
from siyu.demo.visits import Visitor

_PET_KINDS: Final = ("", "猫", "狗")
_CONTEXTS: Final = {WEB: dialects.WEB_CONTEXT, APP: dialects.APP_CONTEXT}
_BY_PHONE_ONLY: Final = 0.28
"""Part of the people with mini-program and website who never log in to the mini-program: their phone joins the two."""


class Accounts:
    """Who is registered and logged in where. Calls must come in order of time."""

    def __init__(self, book: Book, people: People) -> None:
        self._book = book
        self._people = people
        count = len(people.salt)
        self.registered = bytearray(count)
        self._logged = {end: bytearray(count) for end in (MP, WEB, APP)}
        self._bound = bytearray(count)
        """1: the mini-program knows openid and unionid."""
        self._borrowed = bytearray(count)
        self._tablet_users: dict[int, int] = {}

    def who(self, visitor: Visitor) -> str:
        """How an end names the visitor now, as members of a message of its dialect."""
        person, end = visitor.person, visitor.end
        ids = self._book.ids(person)
        logged = self._logged[end][person]
        if end == MP:
            # After login the SDK drops openid and unionid.
            if logged:
                return sensors_who(ids.user, f'"$identity_mp_id":"{ids.mp_id}","$identity_login_id":"{ids.user}"')
            if self._bound[person]:
                return sensors_who(ids.mp_openid, self._wechat(person))
            return sensors_who(ids.mp_id, f'"$identity_mp_id":"{ids.mp_id}"')
        anonymous = self._anonymous(visitor)
        if logged and (end == APP or not visitor.second):
            return f'"userId":"{ids.user}","anonymousId":"{anonymous}"'
        return f'"anonymousId":"{anonymous}"'

    def track(self, visitor: Visitor, name: str, at: int, properties: str) -> None:
        """A behaviour, told by the visitor's end in its own dialect."""
        book, person = self._book, visitor.person
        if visitor.end == MP:
            self._mini(Kind("track", name), person, at, self.who(visitor), properties)
            return
        stamp, context = book.segment_stamp(person, at), _CONTEXTS[visitor.end]
        book.write(ENDS[visitor.end], at, segment_track(name, stamp, self.who(visitor), properties, context))

    def register(self, visitor: Visitor, at: int, draw: float) -> None:
        """Make an account at this end."""
        person, end = visitor.person, visitor.end
        self.registered[person] = 1
        if end == MP:
            self._bind_wechat(person, at - 3_000)
        self._log_in(visitor, at)
        # The second device is not logged in; the account is made on the first.
        visitor = visitor._replace(second=False)
        self.track(visitor, "user.registered", at + 500, f'"end":"{ENDS[end]}"')
        self._profile(visitor, at + 900)
        if self._people.inviter[person] >= 0 and self._people.channel[person] == SHARE:
            inviter = self._book.ids(int(self._people.inviter[person])).user
            self.track(visitor, "invite.accepted", at + 1_200, f'"inviter":"{inviter}"')
        if draw < 0.62:
            self.track(visitor, "coupon.claimed", at + 4_000, '"template":"N88","title":"新人 88 折"')
        if end == WEB and self._people.channel[person] == CAMPAIGN:
            self._identify_landing(person, at + 1_000)
        if end == WEB and draw > 0.9:
            ids, stamp = self._book.ids(person), self._book.segment_stamp(person, at)
            line = segment_alias(stamp, ids.user, ids.cookie, dialects.WEB_CONTEXT)
            self._book.write("web", at + 1_500, line)

    def log_in(self, visitor: Visitor, at: int) -> None:
        """Log in where the person is not yet; a shared tablet asks each time the other one comes."""
        person, end = visitor.person, visitor.end
        tablet = int(self._people.tablet[person]) if end == APP else -1
        taken_over = tablet >= 0 and self._tablet_users.get(tablet, person) != person
        if self._logged[end][person] and not taken_over:
            return
        if end == MP:
            self._bind_wechat(person, at - 2_000)
            if self._joined_by_phone(person):
                return
        self._log_in(visitor, at)
        self.track(visitor, "user.login", at + 300, '"method":"phone"')

    def _log_in(self, visitor: Visitor, at: int) -> None:
        person, end = visitor.person, visitor.end
        book, ids = self._book, self._book.ids(person)
        self._logged[end][person] = 1
        if end == APP and self._people.tablet[person] >= 0:
            self._tablet_users[int(self._people.tablet[person])] = person
        if end != MP:
            who = f'"userId":"{ids.user}","anonymousId":"{self._anonymous(visitor)}"'
            stamp = book.segment_stamp(person, at)
            book.write(ENDS[end], at, segment_identify(stamp, who, f'"phone":"{ids.phone}"', _CONTEXTS[end]))
            return
        self._borrow(person, at - 400)
        identities = f'"$identity_mp_id":"{ids.mp_id}","$identity_login_id":"{ids.user}"'
        self._mini(SIGNUP, person, at, sensors_who(ids.user, identities), '"$is_login_id":true')
        phone = f'"$identity_login_id":"{ids.user}","$identity_mobile":"{ids.phone}"'
        self._mini(BIND, person, at + 200, sensors_who(ids.user, phone), "")

    def _borrow(self, person: int, at: int) -> None:
        """Once, somebody logs in to another's account inside their own WeChat: unionid and login contradict."""
        owner = int(self._people.borrows[person])
        if owner < 0 or self._borrowed[person] or not self._people.unionid_known[person]:
            return
        self._borrowed[person] = 1
        login = self._book.ids(owner).user
        who = sensors_who(login, f'{self._wechat(person)},"$identity_login_id":"{login}"')
        self._mini(SIGNUP, person, at, who, '"$is_login_id":true')

    def _bind_wechat(self, person: int, at: int) -> None:
        """Silent login: the mini-program learns openid and, mostly, unionid; a phone may be bound without a login."""
        if self._bound[person]:
            return
        self._bound[person] = 1
        ids, wechat = self._book.ids(person), self._wechat(person)
        self._mini(BIND, person, at, sensors_who(ids.mp_openid, wechat), "")
        if self._joined_by_phone(person):
            self._mini(
                BIND, person, at + 600, sensors_who(ids.mp_openid, f'{wechat},"$identity_mobile":"{ids.phone}"'), ""
            )
        elif self.registered[person]:
            self._mini(BIND, person, at + 600, sensors_who(ids.user, f'{wechat},"$identity_login_id":"{ids.user}"'), "")

    def _joined_by_phone(self, person: int) -> bool:
        both = self._people.ends[person, MP] and self._people.ends[person, WEB]
        return bool(both) and int(self._people.salt[person][-2:], 16) < 256 * _BY_PHONE_ONLY

    def _wechat(self, person: int) -> str:
        ids = self._book.ids(person)
        union = f',"$identity_mp_unionid":"{ids.unionid}"' if self._people.unionid_known[person] else ""
        return f'"$identity_mp_id":"{ids.mp_id}","{dialects.OPENID}":"{ids.mp_openid}"{union}'

    def _anonymous(self, visitor: Visitor) -> str:
        ids = self._book.ids(visitor.person)
        return ids.app_install if visitor.end == APP else ids.second_cookie if visitor.second else ids.cookie

    def _profile(self, visitor: Visitor, at: int) -> None:
        person, end = visitor.person, visitor.end
        people, book, ids = self._people, self._book, self._book.ids(visitor.person)
        city, province, _ = brand.CITIES[int(people.city[person])]
        salt = int(people.salt[person][:6], 16)
        pet = _PET_KINDS[int(people.interest[person])]
        traits = (
            f'"name":{quoted(people.name[person])},"city":"{city}","province":"{province}",'
            f'"gender":"{"女" if salt % 10 < 7 else "男"}",'
            f'"birthday":"{1965 + salt % 40}-{1 + salt % 12:02}-{1 + salt % 28:02}",'
            f'"registered_at":"{book.time(at)}"'
        )
        if pet:
            traits += f',"pet":"{pet}","pet_name":"{people.pet[person]}"'
        if end == MP:
            who = sensors_who(ids.user, f'"$identity_login_id":"{ids.user}"')
            self._mini(PROFILE, person, at, who, traits)
            return
        email = f',"email":"{ids.user}@mail.example"' if salt % 3 == 0 else ""
        stamp = book.segment_stamp(person, at)
        line = segment_identify(stamp, f'"userId":"{ids.user}"', traits + email, _CONTEXTS[end])
        book.write(ENDS[end], at, line)

    def _identify_landing(self, person: int, at: int) -> None:
        book, ids = self._book, self._book.ids(person)
        properties = f'"$anon_distinct_id":"{ids.landing}","$device_id":"{ids.landing}","$is_identified":true'
        book.write("landing", at, posthog("$identify", book.posthog_stamp(person, at), ids.user, properties))

    def _mini(self, kind: Kind, person: int, at: int, who: str, properties: str) -> None:
        line = mini_program(kind, self._book.sensors_stamp(person, at), who, properties)
        self._book.write("mini_program", at, line)
