"""All that is kept of an ambassador as one file: a JSON document, written while it is read."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from services.notifier.domain.preferences import Person
from services.notifier.exporting import Exporting
from services.notifier.pages.private import Doorkeeper
from services.notifier.pages.reader import Reader
from services.runtime import logs
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError
from services.web.private import PRIVATE

_PIECE_BYTES: Final = 64 * 1024
"""What is sent at a time: a suggestion has a few kilobytes, and each sending its cost."""


def export_routes(app: FastAPI, *, exporting: Exporting, door: Doorkeeper) -> None:
    """Add the export to `app`."""

    @app.get("/inbox/{token}/export", include_in_schema=False)
    async def export(request: Request, token: str) -> Response:
        """Everything that is kept of the reader. A file that was cut off is no JSON document, and so recognised."""

        async def write(person: Person, _: Reader) -> Response:
            head = await exporting.head(person)
            return StreamingResponse(
                _gathered(_document(exporting, person, head)),
                media_type="application/json",
                headers={
                    **PRIVATE,
                    "content-disposition": f'attachment; filename="maillage-{person.ambassador_id}.json"',
                },
            )

        return await door.open(request, token, write)


async def _document(exporting: Exporting, person: Person, head: dict[str, Any]) -> AsyncIterator[str]:
    yield _json(head)[:-1]
    for name, several in (("suggestions", exporting.suggestions(person)), ("deliveries", exporting.deliveries(person))):
        yield f',\n"{name}": ['
        comma = "\n"
        async for one in several:
            yield comma + _json(one)
            comma = ",\n"
        yield "\n]"
    yield "}\n"


async def _gathered(pieces: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield the same in pieces of a size.

    Raises:
        TransientError: the store went away. What was sent by then ends without its end.
    """
    waiting, size = [], 0
    try:
        async for piece in pieces:
            encoded = piece.encode()
            waiting.append(encoded)
            size += len(encoded)
            if size >= _PIECE_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    except StoreError as error:
        logs.get().warning("export_cut", error=describe(error))
        raise TransientError("an export was cut off: the store does not answer") from None
    yield b"".join(waiting)


def _json(said: dict[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False)
