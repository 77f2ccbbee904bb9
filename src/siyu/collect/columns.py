"""Events as columns: what a frame is built of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import overload

from siyu.collect.event import Effects, Event


@dataclass(slots=True, eq=False)
class EventColumns(Sequence[Event]):
    """Events as one list per field, all of one length. Reads like a list of events, and is equal to one."""

    ids: list[str]
    names: list[str]
    occurred_ms: list[int]
    anchors: list[str]
    others: list[str | None]
    properties: list[str]
    contexts: list[str]
    values_fen: list[int]
    effects: list[Effects | None]
    ends: list[str]

    @classmethod
    def of(cls, events: Sequence[Event]) -> EventColumns:
        """The same events; columns stay what they are."""
        if isinstance(events, EventColumns):
            return events
        return cls(
            [event.event_id for event in events],
            [event.name for event in events],
            [event.occurred_ms for event in events],
            [event.anchor for event in events],
            [event.others for event in events],
            [event.properties for event in events],
            [event.context for event in events],
            [event.value_fen for event in events],
            [event.effects for event in events],
            [event.end for event in events],
        )

    def put(self, row: int, event: Event) -> None:
        """Put an event in the place of a row."""
        self.ids[row], self.names[row], self.occurred_ms[row] = event.event_id, event.name, event.occurred_ms
        self.anchors[row], self.others[row] = event.anchor, event.others
        self.properties[row], self.contexts[row] = event.properties, event.context
        self.values_fen[row], self.effects[row], self.ends[row] = event.value_fen, event.effects, event.end

    def take(self, rows: Iterable[int]) -> EventColumns:
        """These rows, in this order."""
        places = list(rows)
        columns = [getattr(self, field.name) for field in fields(self)]
        return EventColumns(*([column[row] for row in places] for column in columns))

    def __len__(self) -> int:
        return len(self.ids)

    def _event(self, row: int) -> Event:
        return Event(
            self.ids[row],
            self.names[row],
            self.occurred_ms[row],
            self.anchors[row],
            self.others[row],
            self.properties[row],
            self.contexts[row],
            self.values_fen[row],
            self.effects[row],
            self.ends[row],
        )

    @overload
    def __getitem__(self, row: int) -> Event: ...
    @overload
    def __getitem__(self, row: slice) -> EventColumns: ...
    def __getitem__(self, row: int | slice) -> Event | EventColumns:
        return self.take(range(*row.indices(len(self)))) if isinstance(row, slice) else self._event(row)

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # lists inside
