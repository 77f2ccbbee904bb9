"""Tables of the shop. Units are the ledger's; what the ledger does not know stands here."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=6)
SORTED = Text(collation="C")

products = Table(
    "shop_products",
    metadata,
    Column("id", SORTED, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("collections", ARRAY(SORTED), nullable=False),
    Column("on_sale", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Index("ix_shop_products_collections", "collections", postgresql_using="gin"),
)

skus = Table(
    "shop_skus",
    metadata,
    Column("sku", SORTED, primary_key=True),
    Column("product", SORTED, nullable=False),
    Column("place", Integer, nullable=False, comment="order within the product"),
    Column("label", Text, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    Column("prices", Text, nullable=False, comment="JSON: end to fen"),
    Column("tracked", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    CheckConstraint("price_fen >= 0", name="price"),
    Index("ix_shop_skus_product", "product"),
)

collections = Table(
    "shop_collections",
    metadata,
    Column("key", SORTED, primary_key=True),
    Column("label", Text, nullable=False),
)

orders = Table(
    "shop_orders",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("source", SORTED, nullable=False, comment="shop: our own; else the foreign shop that told of it"),
    Column("order_id", SORTED, nullable=False),
    Column("request", UUID(as_uuid=True), comment="hash of what was ordered: the same again is the same order"),
    Column("anchor", BigInteger, comment="the identifier under which it was made; null: nobody known"),
    Column("end", SORTED, nullable=False),
    Column("state", SORTED, nullable=False),
    Column("version", Integer, nullable=False),
    Column("list_fen", BigInteger, nullable=False),
    Column("payable_fen", BigInteger, nullable=False),
    Column("paid_fen", BigInteger, nullable=False),
    Column("refunded_fen", BigInteger, nullable=False),
    Column("lines", Text, nullable=False, comment="JSON: order.Line"),
    Column("discounts", Text, nullable=False, comment="JSON: order.Discount"),
    Column("steps", Text, nullable=False, comment="JSON: order.Step; of a foreign order: foreign.Told"),
    Column("created_at", TIME, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Column("state_at", TIME, nullable=False, comment="since when it stands in its state"),
    Column("expires_at", TIME, comment="when it lapses unpaid"),
    Column("stock", BigInteger, comment="the ledger's transfer that set its units aside"),
    Column("lock", SORTED, comment="the lock of coupon and points"),
    Column(
        "rest_fen",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="of a cancelled foreign order: not told back",
    ),
    Column("voided_fen", BigInteger, nullable=False, server_default="0", comment="of it: looked at, to be told"),
    Column("told_fen", BigInteger, nullable=False, server_default="0", comment="of it: what order.voided has told"),
    UniqueConstraint("source", "order_id"),
    CheckConstraint(
        "state IN ('created', 'paid', 'fulfilled', 'received', 'completed', 'cancelled', 'refunded')", name="state"
    ),
    CheckConstraint("refunded_fen BETWEEN 0 AND paid_fen", name="kept"),
    CheckConstraint("payable_fen BETWEEN 0 AND list_fen", name="payable"),
    Index("ix_shop_orders_anchor", "anchor"),
    Index("ix_shop_orders_order_id", "order_id", postgresql_where=text("source <> 'shop'")),
    Index("ix_shop_orders_state", "state", "number"),
    Index("ix_shop_orders_created_at", "created_at"),
    Index("ix_shop_orders_due", "expires_at", postgresql_where=text("state = 'created'")),
    Index("ix_shop_orders_to_void", "number", postgresql_where=text("rest_fen > voided_fen")),
    Index("ix_shop_orders_under_way", "state", "state_at", postgresql_where=text("state IN ('fulfilled', 'received')")),
)

claims = Table(
    "shop_claims",
    metadata,
    Column("order_id", SORTED, primary_key=True),
    Column("key", UUID(as_uuid=True), primary_key=True, comment="claims.key_of"),
    Column("name", Text, nullable=False, comment="order.paid or order.refunded"),
    Column("shop", Text, nullable=False),
    Column("reference", Text, nullable=False, comment="payment_id, refund_id; empty: none was named"),
    Column("source", Text, nullable=False, comment="write key that told first under this identifier"),
    Column("anchor", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False, comment="of the first event"),
    Column("at", TIME, nullable=False),
    Index("ix_shop_claims_anchor", "anchor"),
)
"""First tellings of the money of foreign orders (claims.py)."""

payments = Table(
    "shop_payments",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("number", BigInteger, nullable=False, comment="of the order"),
    Column("kind", SORTED, nullable=False),
    Column("provider", SORTED, nullable=False),
    Column("reference", SORTED, nullable=False, comment="what the provider calls it; of a refund: ours"),
    Column("amount_fen", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    Column("lines", Text, nullable=False, comment="JSON: order.Back of a refund"),
    Column("reason", Text, nullable=False),
    Column("state", SORTED, nullable=False, server_default="done", comment="of a refund: whether its money has moved"),
    Column("because", Text, nullable=False, server_default="", comment="why it has not"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", TIME, comment="when the provider is asked, or asked again; null: never again"),
    UniqueConstraint("number", "kind", "reference"),
    CheckConstraint("kind IN ('payment', 'refund', 'return')", name="kind"),
    CheckConstraint("amount_fen >= 0", name="amount"),
    CheckConstraint("state IN ('planned', 'sending', 'done', 'failed')", name="state"),
    Index("ix_shop_payments_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("ix_shop_payments_failed", "number", postgresql_where=text("state = 'failed'")),
    Index("uq_shop_payments_one_payment", "number", unique=True, postgresql_where=text("kind = 'payment'")),
    Index(
        "uq_shop_payments_reference",
        "provider",
        "reference",
        unique=True,
        postgresql_where=text("kind IN ('payment', 'return')"),
    ),
)
"""Money that came in and went back. An order is paid once; a payment is booked for one order, or returned."""

intents = Table(
    "shop_intents",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("number", BigInteger, nullable=False, comment="of the order"),
    Column("provider", SORTED, nullable=False),
    Column("reference", SORTED, nullable=False, comment="under which the provider is asked"),
    Column("amount_fen", BigInteger, nullable=False),
    Column("by", Text, nullable=False, comment="who pays the order"),
    Column("state", SORTED, nullable=False),
    Column("because", Text, nullable=False, comment="why it is not known yet what became of it"),
    Column("asks", Integer, nullable=False, comment="requests that went to the provider under this reference"),
    Column("attempts", Integer, nullable=False, comment="how often the provider was asked what became of it"),
    Column("at", TIME, nullable=False),
    Column("due_at", TIME, comment="when the provider is asked what became of it; null: that is known"),
    UniqueConstraint("provider", "reference"),
    CheckConstraint("amount_fen >= 0", name="amount"),
    CheckConstraint("state IN ('open', 'declined', 'booked', 'returned', 'closed')", name="state"),
    CheckConstraint("(state = 'open') = (due_at IS NOT NULL)", name="due"),
    Index("ix_shop_intents_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("ix_shop_intents_number", "number"),
)
"""What a provider is about to be asked for, written down before: so that no money is taken that nobody knows of."""

test_bank = Table(
    "shop_test_bank",
    metadata,
    Column("reference", SORTED, nullable=False, comment="of the payment"),
    Column("refund", SORTED, nullable=False, comment="which refund of it; empty: the payment itself"),
    Column("order_id", SORTED, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("closed", Boolean, nullable=False, server_default="false", comment="nothing was taken, and never will be"),
    Column(
        "balks", Boolean, nullable=False, server_default="false", comment="of a payment: the next refund is refused"
    ),
    PrimaryKeyConstraint("reference", "refund"),
    CheckConstraint("amount_fen >= 0", name="amount"),
)
"""What the local test provider remembers, as a bank does: each payment and each refund once."""

heard = Table(
    "shop_heard",
    metadata,
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("steps", Integer, nullable=False),
    Column("events", LargeBinary, nullable=False, comment="Arrow IPC: foreign.HEARD"),
)
"""What batches told of orders of foreign shops, until it is in the orders."""

carts = Table(
    "shop_carts",
    metadata,
    Column("anchor", BigInteger, nullable=False, autoincrement=False),
    Column("sku", SORTED, nullable=False),
    Column("qty", BigInteger, nullable=False),
    Column("added_at", TIME, nullable=False),
    Column("changed_at", TIME, nullable=False),
    PrimaryKeyConstraint("anchor", "sku"),
    CheckConstraint("qty > 0", name="qty"),
)

mall_items = Table(
    "mall_items",
    metadata,
    Column("id", SORTED, primary_key=True),
    Column("item", Text, nullable=False, comment="mall.Item as JSON"),
    Column("version", Integer, nullable=False),
    Column("changed_at", TIME, nullable=False),
)

mall_codes = Table(
    "mall_codes",
    metadata,
    Column("item", SORTED, nullable=False),
    Column("code", SORTED, nullable=False),
    Column("redemption", UUID(as_uuid=True), unique=True),
    PrimaryKeyConstraint("item", "code"),
    Index("ix_mall_codes_free", "item", postgresql_where=text("redemption IS NULL")),
)
"""Virtual codes to hand out, each once."""

mall_redemptions = Table(
    "mall_redemptions",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("item", SORTED, nullable=False),
    Column("anchor", BigInteger, nullable=False),
    Column("nth", Integer, nullable=False, comment="of this item and identifier"),
    Column("points", BigInteger, nullable=False),
    Column("money_fen", BigInteger, nullable=False),
    Column("transfer", BigInteger, nullable=False, comment="the ledger's transfer of points and stock"),
    Column("state", SORTED, nullable=False),
    Column("gives", Text, nullable=False, comment="JSON: what was given"),
    Column("order_id", SORTED, unique=True),
    Column("at", TIME, nullable=False),
    CheckConstraint("state IN ('held', 'done', 'cancelled')", name="state"),
    Index("ix_mall_redemptions_anchor", "anchor"),
    Index("ix_mall_redemptions_item", "item", "at"),
    Index(
        "uq_mall_redemptions_nth",
        "item",
        "anchor",
        "nth",
        unique=True,
        postgresql_where=text("state <> 'cancelled'"),
    ),
)
