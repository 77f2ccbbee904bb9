"""How a dimension is worked out is said in the figures people know: none of the scales in which they are kept."""

from __future__ import annotations

import pytest

from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.explain import explain
from siyu.dimensions.words import EVENT_WORDS
from siyu.rules.vocabulary import Lang


def said(key: str, lang: Lang) -> str:
    (one,) = (one for one in DIMENSIONS if one.key == key)
    return explain(one, EVENT_WORDS, lang)


@pytest.mark.parametrize(
    ("key", "lang", "sentence"),
    [
        (
            "items_bought",
            "en",
            "[the sum of “quantity” or “qty” or “commodity_quantity” or “item_count” (of its lines)"
            " of “Order paid”, “Line of an order paid” ever]",
        ),
        (
            "largest_basket",
            "zh",
            "[累计“支付订单”的“quantity” 或 “qty” 或 “commodity_quantity” 或 “item_count”（含各商品行）的最大值]",
        ),
        (
            "review_stars",
            "en",
            "[the sum of “stars” or “rating” or “score” of “Product reviewed” ever] ÷ "
            "[the number with “stars” or “rating” or “score” of “Product reviewed” ever]",
        ),
        ("order_gap_median", "en", "[the doubled median of the gaps in days of “Order paid” ever] ÷ 2"),
        (
            "points_use_share",
            "en",
            "[the sum of “points” of “Points spent” ever] ÷ [the sum of “points” of “Points earned” ever] × 100"
            ", at most 100",
        ),
    ],
)
def test_a_sum_of_a_property_is_a_sum(key: str, lang: Lang, sentence: str) -> None:
    assert said(key, lang) == sentence


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_no_dimension_tells_of_scales(lang: Lang) -> None:
    for one in DIMENSIONS:
        sentence = explain(one, EVENT_WORDS, lang)
        assert "÷ 10" not in sentence, one.key
        assert not sentence.endswith("× 0"), one.key
