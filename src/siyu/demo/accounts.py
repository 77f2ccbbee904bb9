"""How the ends get to know a customer: registration, login, the binding of phone and WeChat, and its accidents."""

from __future__ import annotations

from typing import Final

from siyu.demo import brand, dialects
from siyu.demo.book import Book
from siyu.demo.dialects import mini_program, posthog, quoted, segment_alias, segment_identify, segment_track
from siyu.demo.people import APP, CAMPAIGN, MP, SHARE, WEB, People

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

    def who(self, person: int, end: int, second: bool) -> str:
        """How website or app name the visitor now, as members of a Segment message."""
        ids = self._book.ids(person)
        if end == APP:
            anonymous = ids.app_install
        else:
            anonymous = ids.second_cookie if second else ids.cookie
        if self._logged[end][person] and (end == APP or not second):
            return f'"userId":"{ids.user}","anonymousId":"{anonymous}"'
        return f'"anonymousId":"{anonymous}"'

    def mini_program_identity(self, person: int) -> tuple[str, str]:
        """(distinct_id, identities) as the mini-program SDK sends them now: after login it drops openid and unionid."""
        ids = self._book.ids(person)
        if self._logged[MP][person]:
            return ids.user, f'"$identity_mp_id":"{ids.mp_id}","$identity_login_id":"{ids.user}"'
        if self._bound[person]:
            return ids.mp_openid, self._wechat(person)
        return ids.mp_id, f'"$identity_mp_id":"{ids.mp_id}"'

    def register(self, person: int, end: int, at: int, second: bool, draw: float) -> None:
        """Make an account at this end."""
        self.registered[person] = 1
        properties = f'"end":"{("mini_program", "web", "app")[end]}"'
        if end == MP:
            self._bind_wechat(person, at - 3_000)
        self._log_in(person, end, at, second)
        self._track(person, end, "user.registered", at + 500, properties)
        self._profile(person, end, at + 900)
        if self._people.inviter[person] >= 0 and self._people.channel[person] == SHARE:
            inviter = self._book.ids(int(self._people.inviter[person])).user
            self._track(person, end, "invite.accepted", at + 1_200, f'"inviter":"{inviter}"')
        if draw < 0.62:
            self._track(person, end, "coupon.claimed", at + 4_000, '"template":"N88","title":"新人 88 折"')
        if end == WEB and self._people.channel[person] == CAMPAIGN:
            self._identify_landing(person, at + 1_000)
        if end == WEB and draw > 0.9:
            ids = self._book.ids(person)
            line = segment_alias(
                self._book.message_id(person), self._book.time(at), ids.user, ids.cookie, dialects.WEB_CONTEXT
            )
            self._book.write("web", at + 1_500, line)

    def log_in(self, person: int, end: int, at: int, second: bool) -> None:
        """Log in where the person is not yet; a shared tablet asks each time the other one comes."""
        tablet = int(self._people.tablet[person]) if end == APP else -1
        taken_over = tablet >= 0 and self._tablet_users.get(tablet, person) != person
        if self._logged[end][person] and not taken_over:
            return
        if end == MP:
            self._bind_wechat(person, at - 2_000)
            if self._joined_by_phone(person):
                return
        self._log_in(person, end, at, second)
        self._track(person, end, "user.login", at + 300, '"method":"phone"')

    def _log_in(self, person: int, end: int, at: int, second: bool) -> None:
        book, ids = self._book, self._book.ids(person)
        self._logged[end][person] = 1
        if end == APP and self._people.tablet[person] >= 0:
            self._tablet_users[int(self._people.tablet[person])] = person
        if end != MP:
            anonymous = ids.app_install if end == APP else ids.second_cookie if second else ids.cookie
            who = f'"userId":"{ids.user}","anonymousId":"{anonymous}"'
            line = segment_identify(
                book.message_id(person), book.time(at), who, f'"phone":"{ids.phone}"', _CONTEXTS[end]
            )
            book.write("web" if end == WEB else "app", at, line)
            return
        self._borrow(person, at - 400)
        identities = f'"$identity_mp_id":"{ids.mp_id}","$identity_login_id":"{ids.user}"'
        properties = f'"$is_login_id":true,"original":"{ids.mp_openid}"'
        self._mini("track_signup", "$SignUp", person, at, ids.user, identities, properties)
        phone = f'"$identity_login_id":"{ids.user}","$identity_mobile":"{ids.phone}"'
        self._mini("track_id_bind", "$BindID", person, at + 200, ids.user, phone, "")

    def _borrow(self, person: int, at: int) -> None:
        """Once, somebody logs in to another's account inside their own WeChat: unionid and login contradict."""
        owner = int(self._people.borrows[person])
        if owner < 0 or self._borrowed[person] or not self._people.unionid_known[person]:
            return
        self._borrowed[person] = 1
        login = self._book.ids(owner).user
        identities = f'{self._wechat(person)},"$identity_login_id":"{login}"'
        self._mini("track_signup", "$SignUp", person, at, login, identities, '"$is_login_id":true')

    def _bind_wechat(self, person: int, at: int) -> None:
        """Silent login: the mini-program learns openid and, mostly, unionid; a phone may be bound without a login."""
        if self._bound[person]:
            return
        self._bound[person] = 1
        ids = self._book.ids(person)
        self._mini("track_id_bind", "$BindID", person, at, ids.mp_openid, self._wechat(person), "")
        if self._joined_by_phone(person):
            identities = f'{self._wechat(person)},"$identity_mobile":"{ids.phone}"'
            self._mini("track_id_bind", "$BindID", person, at + 600, ids.mp_openid, identities, "")
        elif self.registered[person]:
            identities = f'{self._wechat(person)},"$identity_login_id":"{ids.user}"'
            self._mini("track_id_bind", "$BindID", person, at + 600, ids.user, identities, "")

    def _joined_by_phone(self, person: int) -> bool:
        both = self._people.ends[person, MP] and self._people.ends[person, WEB]
        return bool(both) and int(self._people.salt[person][-2:], 16) < 256 * _BY_PHONE_ONLY

    def _wechat(self, person: int) -> str:
        ids = self._book.ids(person)
        union = f',"$identity_mp_unionid":"{ids.unionid}"' if self._people.unionid_known[person] else ""
        return f'"$identity_mp_id":"{ids.mp_id}","{dialects.OPENID}":"{ids.mp_openid}"{union}'

    def _profile(self, person: int, end: int, at: int) -> None:
        people, book, ids = self._people, self._book, self._book.ids(person)
        city, province, _ = brand.CITIES[int(people.city[person])]
        salt = int(people.salt[person][:6], 16)
        pet = _PET_KINDS[int(people.interest[person])]
        traits = (
            f'"name":{quoted(people.name[person])},"city":"{city}","province":"{province}",'
            f'"gender":"{"女" if salt % 10 < 7 else "男"}","birthday":"{1965 + salt % 40}-{1 + salt % 12:02}-{1 + salt % 28:02}",'
            f'"registered_at":"{book.time(at)}"'
        )
        if pet:
            traits += f',"pet":"{pet}","pet_name":"{people.pet[person]}"'
        if end == MP:
            self._mini("profile_set", "", person, at, ids.user, f'"$identity_login_id":"{ids.user}"', traits)
            return
        email = f',"email":"{ids.user}@mail.example"' if salt % 3 == 0 else ""
        line = segment_identify(
            book.message_id(person), book.time(at), f'"userId":"{ids.user}"', traits + email, _CONTEXTS[end]
        )
        book.write("web" if end == WEB else "app", at, line)

    def _identify_landing(self, person: int, at: int) -> None:
        book, ids = self._book, self._book.ids(person)
        properties = f'"$anon_distinct_id":"{ids.landing}","$device_id":"{ids.landing}","$is_identified":true'
        book.write("landing", at, posthog("$identify", book.uuid(person), book.time(at), ids.user, properties))

    def _track(self, person: int, end: int, name: str, at: int, properties: str) -> None:
        book = self._book
        if end == MP:
            distinct, identities = self.mini_program_identity(person)
            self._mini("track", name, person, at, distinct, identities, properties)
            return
        who = self.who(person, end, second=False)
        line = segment_track(name, book.message_id(person), book.time(at), who, properties, _CONTEXTS[end])
        book.write("web" if end == WEB else "app", at, line)

    def _mini(
        self, kind: str, name: str, person: int, at: int, distinct: str, identities: str, properties: str
    ) -> None:
        book = self._book
        line = mini_program(kind, name, book.number(person), book.ms(at), distinct, identities, properties)
        book.write("mini_program", at, line)
