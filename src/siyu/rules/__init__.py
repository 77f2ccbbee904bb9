"""The rule language: one condition tree for questions, segments, campaigns, journeys and tag rules (docs/rules.md).

A property condition (`where`) has three forms that agree: JSON (`condition`), a closure for one event (`evaluate`),
ClickHouse SQL (`clickhouse`). A rule about persons (`rule`) has five: JSON (`parse`, `write`), sentences (`sentence`,
`read`), a closure for one person (`judge`), SQL of its metrics (`metric_sql`) and columns of many persons (`masks`).
Not here: where the facts come from. What may be asked of persons is declared by the rooms above (`vocabulary`).
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
