"""The rule language, so far its property conditions: what `where` of a question may say.

One condition, three forms that agree: JSON (`parse_condition`), a closure for one event (`holds`), ClickHouse SQL for
all events (`condition_sql`). Not here: conditions about behaviour and persons.
"""

from siyu.rules.clickhouse import Params, condition_sql, field_text_sql, numeric_sql
from siyu.rules.condition import Condition, InvalidCondition, parse_condition
from siyu.rules.evaluate import holds, numeric, read_field, text_of

__all__ = [
    "Condition",
    "InvalidCondition",
    "Params",
    "condition_sql",
    "field_text_sql",
    "holds",
    "numeric",
    "numeric_sql",
    "parse_condition",
    "read_field",
    "text_of",
]
