"""Words for things that other rooms name by a code: kinds, ends, lifecycle stages, roles, errors. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from siyu.chinese import worded
from siyu.collect.catalogue import canonical
from siyu.collect.catalogue import label as event_label
from siyu.console.i18n import mark as _
from siyu.console.i18n import translate
from siyu.errors import SiyuError
from siyu.ids import base_kind
from siyu.profile.scenes import CHOICES as SCENES
from siyu.profile.scenes import bare_scene
from siyu.rules.phrases import PHRASES
from siyu.segments.words import WORDS

KINDS: Final = {
    "user_id": (_("User ID"), "user-circle"),
    "unionid": (_("UnionID"), "brand-wechat"),
    "external_userid": (_("WeCom contact"), "id-badge-2"),
    "openid": (_("OpenID"), "brand-wechat"),
    "member_card": (_("Member card"), "credit-card"),
    "phone": (_("Phone"), "phone"),
    "email": (_("Email"), "mail"),
    "anonymous_id": (_("Anonymous ID"), "fingerprint"),
    "device": (_("Device"), "device-mobile"),
    "any": (_("Any kind"), "hash"),
}

ENDS: Final = {
    "mini_program": (_("Mini-program"), "brand-wechat"),
    "official_account": (_("Official account"), "message"),
    "wecom": (_("WeCom"), "id-badge-2"),
    "web": (_("Website"), "world"),
    "app": (_("App"), "device-mobile"),
    "store": (_("Store"), "building-store"),
    "server": (_("Server"), "server"),
}

LIFECYCLES: Final = {
    "new": (_("New"), "seedling", "jade"),
    "active": (_("Active"), "leaf", "sky"),
    "vip": (_("VIP"), "crown", "gold"),
    "sleeping": (_("Sleeping"), "zzz", "plum"),
    "lost": (_("Lost"), "ghost", "stone"),
}

ROLES: Final = {
    "manager": _("Manager"),
    "operator": _("Operator"),
    "developer": _("Developer"),
    "counter": _("Counter staff"),
}

SCOPES: Final = {
    "all": (_("Everything"), _("for your own servers; keep it there")),
    "read": (_("Only read"), _("for reports: questions, persons, exports of lists; changes nothing")),
    "till": (_("A till"), _("sells, looks members up, uses coupons and points; makes no value and shows no behaviour")),
}
"""What an API token may do, and for whom that is."""

TOUCH_FIELDS: Final = {
    "utm_source": _("Source"),
    "utm_medium": _("Medium"),
    "utm_campaign": _("Campaign"),
    "utm_content": _("Content"),
    "utm_term": _("Keyword"),
    "scene": _("Scene"),
    "state": _("Channel code"),
    "inviter": _("Inviter"),
    "referrer": _("Referrer"),
    "click_id": _("Click ID"),
}

SCENE_FIELDS: Final = frozenset({"scene", "$scene", "$latest_scene"})
CHANNELS: Final = {"code": _("Channel code"), "scene": _("Scene"), "invite": _("Invited by a friend")}

RULES: Final = {
    "seen": _("on one event"),
    "bind": _("bound by the SDK"),
    "alias": _("declared the same"),
    "named": _("same value"),
    "unbind": _("unbound"),
}

REFUSALS: Final = {
    "CONFLICT": _("two values of one kind"),
    "CAP": _("too many identifiers"),
}

PURPOSES: Final = {
    "marketing": _("Marketing"),
    "analytics": _("Analysis"),
    "service": _("Service messages"),
    "personalisation": _("Personal content"),
    "third_party": _("Handing on to partners"),
}

CELL_FIELDS: Final = {
    "step": _("Step"),
    "dropped": _("lost here"),
    "group": _("Group"),
    "cohort": _("Row"),
    "interval": _("Period"),
    "intervals": _("Periods"),
    "at_least": _("at least"),
    "state": _("State"),
    "series": _("Line"),
    "channel": _("Channel"),
    "decile": _("Tenth"),
    "name": _("Name"),
    "to": _("To"),
    "r": _("R"),
    "f": _("F"),
    "m": _("M"),
}

PROBLEMS: Final = {
    "BAD_BODY": _("The body could not be read"),
    "BAD_COMPRESSION": _("The compression is damaged"),
    "BAD_JSON": _("This is not JSON"),
    "BAD_NAME": _("The event's name cannot be used"),
    "BAD_PROPERTIES": _("The properties cannot be used"),
    "BAD_TIME": _("The time cannot be used"),
    "EVENT_TOO_LARGE": _("The event is too large"),
    "NOT_AN_OBJECT": _("An event must be a JSON object"),
    "TOO_DEEP": _("Nested too deeply"),
    "UNKNOWN_TYPE": _("A type of message that is not known"),
    "BAD_UTF8": _("This is not UTF-8 text"),
    "EMPTY_BATCH": _("There was no event in it"),
    "NO_EVENT_NAME": _("The event has no name"),
    "NO_IDENTIFIER": _("No identifier: nobody did this"),
    "FRAME_DAMAGED": _("Damaged on the way"),
    "IMPOSSIBLE_TIME": _("Stored; its time is too odd for the profile"),
    "NOT_A_NUMBER": _("Stored; a counter cannot grow by this"),
    "TRAIT_TOO_LARGE": _("Stored; one of the traits is too large"),
    "WRONG_CONSENT": _("Stored; the consent in it is incomplete"),
    "INVALID_RULE": _("The rule cannot be understood this way. Correct the place named below."),
    "SEGMENT_EXISTS": _("There is a segment with this key already. Choose another key."),
    "SEGMENT_IN_USE": _("Other segments name this one. Change them first."),
    "WRONG_TAG": _("Stored; one of the tags cannot be used"),
    "WRONG_TRAIT_NAME": _("Stored; the name of a trait cannot be used"),
    "PROFILE_REFUSED": _("The profile could not take it"),
    "STORE_REFUSED": _("The event store could not take it"),
}

ERRORS: Final = {
    "WRONG_PASSWORD": _("Name or password is wrong. Passwords are case-sensitive."),
    "TOO_MANY_LOGINS": _("Too many wrong passwords. Wait 15 minutes, then try again."),
    "WEAK_PASSWORD": _("A password needs 8 to 256 characters."),
    "NAME_TAKEN": _("There is an operator of this name already. Choose another name."),
    "LAST_MANAGER": _("This is the last manager. Make somebody else a manager first."),
    "NOT_SIGNED_IN": _("Your session is over. Sign in again."),
    "STALE_FORM": _("This page is older than your login. Reload it and try again."),
    "FORBIDDEN": _("Your role may not do this. Ask a manager."),
    "NOT_FOUND": _("This page or record does not exist (any more)."),
    "PERSON_NOT_FOUND": _("No person has this identifier. Perhaps it was erased, or never seen."),
    "INVALID_QUESTION": _("The question cannot be asked this way. Correct the field named below."),
    "MALFORMED_REQUEST": _("Something in the form cannot be understood. Correct it and try again."),
    "QUERY_TOO_EXPENSIVE": _("This question is too large. Narrow the time range or the number of groups."),
    "ENGINE_UNAVAILABLE": _(
        "A storage engine does not answer. Nothing is lost: events wait in the stream. Run “siyu doctor”."
    ),
    "BUSY": _("Too much at once. Wait a moment and try again."),
    "CONFLICT": _("This contradicts what is already so. Reload the page and look again."),
    "WRONG_TAG": _("A tag is 1 to 50 characters per level, levels joined by “/”."),
    "TOO_LARGE": _("Too large. Send less at once."),
    "INTERNAL": _("Something went wrong on our side. The server's log has the details."),
}

_EVENT_ICONS: Final = (
    ("refund", "receipt-refund"),
    ("order", "shopping-cart"),
    ("purchase", "shopping-cart"),
    ("pay", "wallet"),
    ("cart", "shopping-cart"),
    ("coupon", "ticket"),
    ("page", "eye"),
    ("view", "eye"),
    ("screen", "eye"),
    ("browse", "eye"),
    ("search", "search"),
    ("share", "share-2"),
    ("invite", "user-plus"),
    ("regist", "user-plus"),
    ("signup", "user-plus"),
    ("sign_up", "user-plus"),
    ("follow", "heart"),
    ("subscribe", "heart"),
    ("check", "calendar-check"),
    ("sign", "calendar-check"),
    ("login", "login"),
    ("identify", "user-circle"),
    ("bind", "link"),
    ("alias", "link"),
    ("scan", "qrcode"),
    ("click", "click"),
    ("point", "star"),
    ("gift", "gift"),
    ("message", "message"),
    ("chat", "message"),
    ("launch", "bolt"),
    ("start", "bolt"),
    ("install", "download"),
    ("profile", "id"),
    ("ship", "truck"),
    ("deliver", "truck"),
    ("location", "map-pin"),
)


def event_icon(name: str) -> str:
    """The icon of an event by its name; a dot of activity for unknown ones."""
    lowered = canonical(name).lower()
    return next((icon for part, icon in _EVENT_ICONS if part in lowered), "activity")


class Labels(NamedTuple):
    """Words in one language."""

    locale: str

    def text(self, message: str) -> str:
        """A marked text."""
        return translate(self.locale, message)

    def kind(self, kind: str) -> str:
        """An identifier kind; its scope in brackets: OpenID (wx1)."""
        base, _colon, scope = kind.partition(":")
        name = self.text(KINDS[base][0]) if base in KINDS else base
        return f"{name} ({scope})" if scope else name

    def kind_icon(self, kind: str) -> str:
        """Its icon."""
        base = base_kind(kind)
        return KINDS[base][1] if base in KINDS else "hash"

    def end(self, end: str) -> str:
        """An end; a name of the brand's own stays as it is."""
        return self.text(ENDS[end][0]) if end in ENDS else end or self.text(_("Unknown"))

    def end_icon(self, end: str) -> str:
        """Its icon."""
        return ENDS[end][1] if end in ENDS else "plug"

    def lifecycle(self, stage: str) -> str:
        """A lifecycle stage."""
        return self.text(LIFECYCLES[stage][0]) if stage in LIFECYCLES else stage

    def lifecycle_icon(self, stage: str) -> str:
        """Its icon."""
        return LIFECYCLES[stage][1] if stage in LIFECYCLES else "user"

    def lifecycle_tone(self, stage: str) -> str:
        """Its colour."""
        return LIFECYCLES[stage][2] if stage in LIFECYCLES else "stone"

    def role(self, role: str) -> str:
        """An operator's role."""
        return self.text(ROLES.get(role, role))

    def touch_field(self, field: str) -> str:
        """A field of a touch."""
        return self.text(TOUCH_FIELDS.get(field, field))

    def event(self, name: str) -> str:
        """What an event is called; a name of the brand's own stays as it is."""
        return event_label(name, self.locale)

    def channel(self, name: str) -> str:
        """A channel as `profile.many.channels` names it."""
        prefix, colon, rest = name.partition(":")
        if colon and prefix in CHANNELS:
            word = self.text(CHANNELS[prefix])
            return f"{word} {self.value(prefix, rest)}" if rest else word
        return name

    def property(self, name: str) -> str:
        """A property of an event, where the language of rules has a word for it."""
        return PHRASES["zh" if self.locale.startswith("zh") else "en"].fields.get(name, name)

    def value(self, field: str, value: str) -> str:
        """What a value of a property, a touch or a person's attribute is called; others stay as they are."""
        if field == "@name":
            return self.event(value)
        scene = field in SCENE_FIELDS
        choices = SCENES if scene else WORDS.choices_of(field)
        wanted = bare_scene(value) if scene else value
        named = next((one for one in choices if str(one.value) == wanted), None)
        return value if named is None else named.zh if self.locale.startswith("zh") else named.en

    def rule(self, rule: str) -> str:
        """Why a link was made."""
        return self.text(RULES.get(rule, rule))

    def refusal(self, reason: str) -> str:
        """Why a link does not count; an operator's own words stay."""
        return self.text(REFUSALS.get(reason, reason))

    def purpose(self, purpose: str) -> str:
        """What consent is for."""
        return self.text(PURPOSES.get(purpose, purpose))

    def consent_channel(self, channel: str) -> str:
        """Over which channel."""
        names = {"*": _("all channels"), "sms": _("SMS"), "email": _("Email"), "push": _("Push")}
        return self.text(names[channel]) if channel in names else self.end(channel)

    def event_icon(self, name: str) -> str:
        """The icon of an event."""
        return event_icon(name)

    def problem(self, code: str) -> str:
        """Why a dead letter could not be processed, by its code."""
        return self.text(PROBLEMS.get(code, _("Could not be processed")))

    def error(self, error: SiyuError) -> str:
        """What is wrong and what to do, by code; the error's own words when the code has none."""
        for cls in type(error).__mro__:
            code = cls.__dict__.get("code")
            if code in ERRORS and code != "INTERNAL":
                return self.text(ERRORS[code])
        return self.said(error) if type(error) is not SiyuError else self.text(ERRORS["INTERNAL"])

    def said(self, error: SiyuError) -> str:
        """The error's own words, in the reader's language where they are there in it."""
        return worded(error, "zh" if self.locale.startswith("zh") else "en")

    def cell_field(self, name: str) -> str:
        """What a part of a cell is about."""
        return self.text(CELL_FIELDS.get(name, name))

    def cell_value(self, name: str, value: object) -> str:
        """A part of a cell; places count from 1 for people."""
        if name in ("name", "to"):
            return self.event(str(value))
        if isinstance(value, bool):
            return self.text(_("yes") if value else _("no"))
        if isinstance(value, int) and name in ("step", "cohort"):
            return str(value + 1)
        return str(value) or self.text(_("(none)"))

    def initial(self, name: str) -> str:
        """One character for a round picture."""
        return next((letter for letter in name if letter.isalnum()), "?").upper()

    def tone(self, person_id: str) -> str:
        """A colour that stays with the person."""
        return TONES[sum(person_id.encode()) % len(TONES)]

    def short(self, value: str) -> str:
        """A long identifier in its first and last characters."""
        return short(value)


TONES: Final = ("jade", "sky", "gold", "plum", "rose", "stone")
SHORT_CHARS: Final = 18


def short(value: str) -> str:
    """A long identifier in its first and last characters."""
    return value if len(value) <= SHORT_CHARS else f"{value[:8]}…{value[-5:]}"
