"""The words that rules over persons may use: what the rooms below declare, and the catalogue's event names."""

from __future__ import annotations

from typing import Final

from siyu.dimensions.catalogue import DIMENSIONS, Catalogue
from siyu.dimensions.values import ENDS
from siyu.dimensions.words import EVENT_WORDS
from siyu.profile.attributes import ATTRIBUTES as PROFILE_ATTRIBUTES
from siyu.profile.checkins import CYCLE_DAY
from siyu.profile.scenes import CHOICES as SCENES
from siyu.rules.moments import MOMENTS
from siyu.rules.vocabulary import AttributeKind, Vocabulary

TIER: Final = "tier"
GROWTH: Final = "growth"
SEGMENT_ATTRIBUTES: Final = (
    AttributeKind("segments", "人群", "segments", "list"),
    AttributeKind("listed", "名单", "lists", "list"),
    AttributeKind(TIER, "会员等级", "membership tier"),
    AttributeKind(GROWTH, "成长值", "growth", default=0),
    AttributeKind(
        CYCLE_DAY,
        "签到周期第几天",
        "day of the check-in cycle",
        ages=True,
        default=0,
        number=True,
        note=(
            "截至今天（今天未签到则截至昨天）的连续签到在周期中的第几天，未连续为 0；按自然月的周期为几号",
            "of the days in a row up to today, or yesterday while today is open; 0 without. Of a month: its day",
        ),
    ),
)


def words_with(dimensions: Catalogue) -> Vocabulary:
    """The vocabulary of an installation with these dimensions."""
    kinds = (*PROFILE_ATTRIBUTES, *SEGMENT_ATTRIBUTES, *MOMENTS, *dimensions.kinds)
    ends = dict.fromkeys(("@end", "first_touch.end", "last_touch.end"), ENDS)
    scenes = dict.fromkeys(("first_touch.scene", "last_touch.scene"), SCENES)
    return EVENT_WORDS._replace(attributes={kind.name: kind for kind in kinds}, values=ends | scenes)


WORDS: Final = words_with(DIMENSIONS)
"""One vocabulary for all rules of an installation."""
