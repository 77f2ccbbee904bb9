"""Dialects of foreign shops as data: how a delivery is signed, what it is about, and where what stands in it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping as MappingOf
from datetime import tzinfo
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_plus

import msgspec

from siyu.collect.catalogue import fen, value_fen
from siyu.collect.event import Event
from siyu.collect.identifiers import arrange, clean_key
from siyu.collect.instants import epoch_ms
from siyu.errors import MalformedRequest, Unauthorized
from siyu.ids import SEPARATOR
from siyu.shop.foreign import STEPS, order_key

_Path = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_Paths = Annotated[tuple[_Path, ...], msgspec.Meta(max_length=10)]
LINES_MAX: Final = 200
_CHARS_MAX: Final = 200


class WrongSignature(Unauthorized):
    """A delivery that was not signed with the secret of its connector."""

    code = "WRONG_SIGNATURE"


class WrongMapping(MalformedRequest):
    """A connector that cannot work as it is written."""

    code = "WRONG_MAPPING"
    status = 422


class UnreadableDelivery(MalformedRequest):
    """A delivery of a mapped topic that does not hold what its mapping says."""

    code = "UNREADABLE_DELIVERY"


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where what stands. A path is names joined by dots, a number counts in a list; the first that is there wins."""

    signature: Literal["hmac_sha256_hex", "hmac_sha256_base64", "md5_of_id_body_secret"] = "hmac_sha256_hex"
    signature_header: _Path = "x-siyu-signature"
    topic_header: _Path | None = None
    """Which kind of delivery it is stands in a header, else"""
    topic: _Path | None = None
    """in the body."""
    topics: Annotated[dict[str, str], msgspec.Meta(max_length=100)] = {}
    """Topic → order.created, order.paid …"""
    payload: _Path | None = None
    """Where the order stands in the body; a text there is JSON (percent-encoded too). None: the body itself."""
    order_id: _Paths = ("order_id",)
    refund_id: _Paths = ("refund_id",)
    at: _Paths = ("at",)
    buyer: Annotated[dict[str, _Paths], msgspec.Meta(max_length=10)] = {}
    """Kind of identifier → where its value stands; `openid`: the buyer's number in this shop."""
    money: _Paths = ("amount",)
    refund_money: _Paths = ("refund_amount",)
    money_unit: Literal["yuan", "fen"] = "yuan"
    currency: _Paths = ("currency",)
    lines: _Paths = ("lines",)
    line_sku: _Paths = ("sku",)
    line_name: _Paths = ("name",)
    line_quantity: _Paths = ("quantity",)
    line_price: _Paths = ("price",)
    line_category: _Paths = ("category",)
    line_brand: _Paths = ("brand",)


YOUZAN: Final = Mapping(
    signature="md5_of_id_body_secret",
    signature_header="event-sign",
    topic="type",
    topics={
        "trade_TradeCreate": "order.created",
        "trade_TradePaid": "order.paid",
        "trade_TradeBuyerPay": "order.paid",
        "trade_TradeSellerShip": "order.fulfilled",
        "trade_TradeSuccess": "order.completed",
        "trade_TradeClose": "order.cancelled",
        "trade_refund_RefundSuccess": "order.refunded",
    },
    payload="msg",
    order_id=("full_order_info.order_info.tid", "tid"),
    refund_id=("refund_id",),
    at=(
        "full_order_info.order_info.success_time", "full_order_info.order_info.consign_time",
        "full_order_info.order_info.pay_time", "full_order_info.order_info.created", "update_time", "created",
    ),
    buyer={
        "phone": ("full_order_info.buyer_info.buyer_phone", "buyer_phone"),
        "openid": ("full_order_info.buyer_info.yz_open_id", "yz_open_id", "full_order_info.buyer_info.buyer_id"),
        "user_id": ("full_order_info.buyer_info.outer_user_id",),
    },
    money=("full_order_info.pay_info.payment", "payment"),
    refund_money=("refunded_fee", "refund_fee"),
    lines=("full_order_info.orders", "orders"),
    line_sku=("outer_sku_id", "sku_no", "outer_item_id", "sku_id", "item_id"),
    line_name=("title",),
    line_quantity=("num",),
    line_price=("price",),
)  # fmt: skip
SHOPIFY: Final = Mapping(
    signature="hmac_sha256_base64",
    signature_header="x-shopify-hmac-sha256",
    topic_header="x-shopify-topic",
    topics={
        "orders/create": "order.created",
        "orders/paid": "order.paid",
        "orders/fulfilled": "order.fulfilled",
        "orders/cancelled": "order.cancelled",
        "refunds/create": "order.refunded",
    },
    order_id=("order_id", "id"),
    refund_id=("id",),
    at=("cancelled_at", "processed_at", "updated_at", "created_at"),
    buyer={
        "phone": ("customer.phone", "phone", "shipping_address.phone"),
        "email": ("customer.email", "email", "contact_email"),
        "openid": ("customer.id",),
    },
    money=("current_total_price", "total_price"),
    refund_money=("transactions.*.amount",),
    currency=("currency", "transactions.0.currency"),
    lines=("line_items",),
    line_sku=("sku", "variant_id", "product_id"),
    line_name=("title", "name"),
    line_quantity=("quantity",),
    line_price=("price",),
    line_category=("product_type",),
    line_brand=("vendor",),
)
DIALECTS: Final = {"youzan": YOUZAN, "shopify": SHOPIFY}


def checked(mapping: Mapping) -> Mapping:
    """Itself. Raises WrongMapping."""
    if (mapping.topic is None) == (mapping.topic_header is None):
        raise WrongMapping("The topic stands in a header or in the body: name one.", path="mapping.topic")
    if wrong := [name for name in mapping.topics.values() if name not in STEPS]:
        raise WrongMapping(f"{wrong[0][:50]} is no step of an order.", path="mapping.topics")
    return mapping


class Delivery(msgspec.Struct, frozen=True):
    """What came, as it came. Header names in lower case."""

    headers: MappingOf[str, str]
    body: bytes


def verify(mapping: Mapping, delivery: Delivery, client_id: str, secret: str) -> None:
    """Compare the signature over the raw body, in constant time. Raises WrongSignature."""
    key, body = secret.encode(), delivery.body
    if mapping.signature == "md5_of_id_body_secret":
        # The scheme is the platform's; nothing of ours relies on MD5 elsewhere.
        expected = hashlib.md5(client_id.encode() + body + key, usedforsecurity=False).hexdigest()
    elif mapping.signature == "hmac_sha256_base64":
        expected = base64.b64encode(hmac.digest(key, body, "sha256")).decode()
    else:
        expected = hmac.digest(key, body, "sha256").hex()
    given = delivery.headers.get(mapping.signature_header.lower(), "")
    if mapping.signature != "hmac_sha256_base64":
        given = given.lower()
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
        raise WrongSignature("The signature does not fit the body and the secret of this connector.")


def event_of(mapping: Mapping, delivery: Delivery, connector: str, zone: tzinfo) -> Event | None:
    """The step a delivery tells of; None when its topic is not mapped. `zone`: of times without an offset.

    The id follows from order and step, so that every delivery of a step is one event. Raises UnreadableDelivery."""
    try:
        body = msgspec.json.decode(delivery.body)
    except msgspec.DecodeError as error:
        raise UnreadableDelivery(f"The body is no JSON: {error}") from error
    topic = delivery.headers.get(mapping.topic_header.lower()) if mapping.topic_header else None
    if mapping.topic is not None:
        topic = _text(_at(body, mapping.topic))
    if topic is None or (name := mapping.topics.get(topic)) is None:
        return None
    said = _payload(mapping, body)
    order_id = _text(_first(said, mapping.order_id))
    if order_id is None:
        raise UnreadableDelivery("It names no order.")
    refund_id = _text(_first(said, mapping.refund_id)) if name == "order.refunded" else None
    at = next((ms for path in mapping.at if (ms := epoch_ms(_at(said, path), zone)) is not None), None)
    if at is None:
        raise UnreadableDelivery("It has no time.")
    who = _who(mapping, said, name, connector, order_key(connector, order_id))
    properties = _properties(mapping, said, name, order_id) | {"shop": connector}
    if refund_id is not None:
        properties["refund_id"] = refund_id
    number = f"{name}/{order_id}" + (f"/{refund_id}" if refund_id else "")
    return Event(
        number, name, at, who[0], who[1], properties=msgspec.json.encode(properties).decode(),
        value_fen=value_fen(name, properties), end="",
    )  # fmt: skip


def _who(mapping: Mapping, said: Any, name: str, connector: str, order: str) -> tuple[str, str | None]:
    """Whose step it is: (anchor, others). A refund often names no buyer: then it stands under the key of the order,
    which the payment binds to whoever paid (decision 0481)."""
    keys = [
        clean_key(f"openid:{connector}" if kind == "openid" else kind, _text(_first(said, paths)))
        for kind, paths in mapping.buyer.items()
    ]
    bound = clean_key(*order.split(SEPARATOR, 1)) if name == "order.paid" else None
    return arrange([*keys, bound]) or (order, None)


def _payload(mapping: Mapping, body: Any) -> Any:
    said = body if mapping.payload is None else _at(body, mapping.payload)
    if isinstance(said, str):
        for text in (said, unquote_plus(said)):
            try:
                return msgspec.json.decode(text)
            except msgspec.DecodeError:
                continue
        raise UnreadableDelivery(f"What stands in {mapping.payload} is no JSON.")
    return said


def _properties(mapping: Mapping, said: Any, name: str, order_id: str) -> dict[str, Any]:
    unit = 100 if mapping.money_unit == "yuan" else 1
    found: dict[str, Any] = {"order_id": order_id}
    refund = name == "order.refunded"
    amount = _money(said, mapping.refund_money if refund else mapping.money, unit)
    if amount is not None:
        found["refund_fen" if refund else "amount_fen" if name == "order.paid" else "payable_fen"] = amount
    if (currency := _text(_first(said, mapping.currency))) is not None:
        found["currency"] = currency
    listed = _first(said, mapping.lines)
    lines = [
        _line(mapping, one, unit)
        for one in (listed if isinstance(listed, list) else [])[:LINES_MAX]
        if isinstance(one, dict)
    ]
    if lines:
        first = lines[0]
        found |= {"lines": lines, "sku": first["sku"], "product": first["product"]}
        found["quantity"] = sum(line["quantity"] for line in lines)
    return found


def _line(mapping: Mapping, said: Any, unit: int) -> dict[str, Any]:
    line = {
        "sku": _text(_first(said, mapping.line_sku)) or "",
        "product": _text(_first(said, mapping.line_name)) or "",
        "quantity": _whole(_first(said, mapping.line_quantity)),
        "price_fen": fen(_first(said, mapping.line_price), unit_fen=unit) or 0,
    }
    kinds = {"category": mapping.line_category, "brand": mapping.line_brand}
    return line | {name: text for name, paths in kinds.items() if (text := _text(_first(said, paths)))}


def _at(said: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(said, dict):
            said = said.get(name)
        elif isinstance(said, list) and name.isdecimal() and int(name) < len(said):
            said = said[int(name)]
        else:
            return None
    return said


def _money(said: Any, paths: tuple[str, ...], unit: int) -> int | None:
    """Fen, not below 0. `list.*.amount` adds up what the items of a list say; of an empty list that is 0."""
    for path in paths:
        where, several, inner = path.partition(".*.")
        found = _at(said, where)
        items = found if several and isinstance(found, list) else [found]
        amounts = [fen(_at(one, inner) if several else one, unit_fen=unit) for one in items[:LINES_MAX]]
        if None not in amounts:
            return sum(abs(amount) for amount in amounts if amount is not None)
    return None


def _first(said: Any, paths: tuple[str, ...]) -> Any:
    return next((value for path in paths if (value := _at(said, path)) not in (None, "", [])), None)


def _text(value: Any) -> str | None:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).replace("\x00", "").strip()[:_CHARS_MAX] or None
    return None


def _whole(value: Any) -> int:
    text = str(value)
    return int(text) if text.isdecimal() and 0 < int(text) <= 10_000 else 1
