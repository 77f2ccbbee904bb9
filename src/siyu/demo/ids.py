"""The identifiers of a customer of the demo, all made from the person's salt."""

from __future__ import annotations

from typing import NamedTuple

from siyu.demo import brand
from siyu.demo.people import People


class Ids(NamedTuple):
    """What a person is called at each end."""

    user: str
    phone: str
    unionid: str
    mp_id: str
    mp_openid: str
    oa_openid: str
    external: str
    cookie: str
    second_cookie: str
    landing: str
    """PostHog's distinct id on landing pages."""
    app_install: str
    device: str
    card: str


def ids_of(people: People, person: int) -> Ids:
    """The identifiers of one person. Shared tablets give two persons one installation and one device."""
    salt = people.salt[person]
    tablet = int(people.tablet[person])
    install = f"a-{salt}" if tablet < 0 else f"a-tablet-{tablet:03}"
    return Ids(
        user=f"tp{100_000 + person}",
        phone="+86" + people.phone[person],
        unionid=f"oU6tP{salt}uN10n",
        mp_id=f"mp-{salt}",
        mp_openid=f"oMp5T{salt}pR0gR",
        oa_openid=f"oOa7K{salt}aCc0u",
        external=f"wmTp{salt}AAextRn",
        cookie=f"w-{salt}",
        second_cookie=f"w2-{salt}",
        landing=f"ph-{salt}",
        app_install=install,
        device=f"{install}-dev",
        card=f"88{200_000 + person}",
    )


def corp_kind() -> str:
    """The kind of a WeCom contact's id."""
    return f"external_userid:{brand.CORP_ID}"
