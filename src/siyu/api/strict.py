"""Bodies as they are meant: where value moves, no text is taken for a number (decision 0471)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON must have the very types of its handler: the framework alone takes `"5"` for 5."""

    async def json(self) -> Any:
        """The body. Raises ValidationException."""
        value = await super().json()
        field = self.route_handler.parsed_data_field
        if field is not None:
            try:
                msgspec.convert(value, field.annotation, str_keys=True)
            except msgspec.ValidationError as error:
                message, _, path = str(error).partition(" - at `$")
                said = {"message": message, "key": path.strip("`.").removeprefix("[...]"), "source": "body"}
                wrong = f"Validation failed for {self.method} {self.url.path}"
                raise ValidationException(wrong, extra=[said]) from error
        return value
