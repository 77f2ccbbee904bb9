"""What a Sensors profile_* message asks to change. Pure."""

from __future__ import annotations

from typing import Any, Final

from siyu.collect.event import Effects

_NOT_TRAITS: Final = frozenset(
    ("$is_login_id", "$lib", "$lib_version", "$lib_method", "$lib_detail", "$project", "$token")
)


def apply(kind: str, properties: dict[str, Any], effects: Effects) -> None:
    """Write the changes of a message of type `kind` into `effects`. A null value takes the trait away."""
    traits = {name: value for name, value in properties.items() if name not in _NOT_TRAITS}
    present = {name: value for name, value in traits.items() if value is not None}
    if kind == "profile_set":
        effects.set = present
        effects.unset = [name for name in traits if name not in present]
    elif kind == "profile_set_once":
        effects.set_once = present
    elif kind == "profile_increment":
        effects.increment = {name: number for name, value in present.items() if (number := _number(value)) is not None}
    elif kind == "profile_append":
        effects.append = {name: value if isinstance(value, list) else [value] for name, value in present.items()}
    elif kind == "profile_unset":
        effects.unset = list(traits)
    elif kind == "profile_delete":
        effects.delete = True


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None
