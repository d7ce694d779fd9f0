"""The desk's overview of its cluster: a page, and its figures as a file."""

import csv
import io
from collections.abc import Iterator
from typing import Final

from fastapi import FastAPI, Request, Response

from schemas.ambassadors import AmbassadorRole
from services.notifier.desk import Desk, Table
from services.notifier.domain.desk import Step
from services.notifier.domain.preferences import Person
from services.notifier.pages import messages
from services.notifier.pages.private import Doorkeeper, Then, private_page
from services.notifier.pages.reader import Reader
from services.web.private import PRIVATE

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of something to compute (OWASP, CSV injection)."""


def desk_routes(app: FastAPI, *, desk: Desk, door: Doorkeeper) -> None:
    """Add the desk's overview to `app`."""
    pages = _Pages(desk=desk, door=door)

    @app.get("/inbox/{token}/desk", include_in_schema=False)
    async def overview(request: Request, token: str) -> Response:
        """What became of all that the reader's cluster is told of."""
        return await pages.overview(request, token)

    @app.get("/inbox/{token}/desk.csv", include_in_schema=False)
    async def figures(request: Request, token: str) -> Response:
        """The figures by city and month, for a spreadsheet."""
        return await pages.figures(request, token)


class _Pages:
    """Answers, each with the headers of a private page."""

    def __init__(self, *, desk: Desk, door: Doorkeeper) -> None:
        self._desk = desk
        self._door = door

    async def overview(self, request: Request, token: str) -> Response:
        async def show(person: Person, reader: Reader) -> Response:
            seen = await self._desk.overview(person.cluster)
            return private_page(
                reader, "desk.html", 200, token=token, person=person, seen=seen, steps=messages.STEPS,
                ways=messages.WAYS,
            )  # fmt: skip

        return await self._for_desk(request, token, show)

    async def figures(self, request: Request, token: str) -> Response:
        async def write(person: Person, _: Reader) -> Response:
            text = _csv(await self._desk.table(person.cluster))
            # With the mark by which spreadsheets know UTF-8.
            return Response(
                text.encode("utf-8-sig"),
                media_type="text/csv; charset=utf-8",
                headers={**PRIVATE, "content-disposition": f'attachment; filename="maillage-{person.cluster}.csv"'},
            )

        return await self._for_desk(request, token, write)

    async def _for_desk(self, request: Request, token: str, then: Then) -> Response:
        async def judge(person: Person, reader: Reader) -> Response:
            if person.role is not AmbassadorRole.DESK:
                return private_page(reader, "desk_denied.html", 403, token=token)
            return await then(person, reader)

        return await self._door.open(request, token, judge)


def _csv(table: Table) -> str:
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(["month", "city", "city_name", *(step.value for step in Step)])
    rows.writerows(_rows(table))
    return written.getvalue()


def _rows(table: Table) -> Iterator[list[str | int]]:
    for of in table.cities:
        name = table.names.get(of.city or "", "")
        for month, counts in of.months:
            yield [f"{month:%Y-%m}", of.city or "", _as_text(name), *(counts[step] for step in Step)]


def _as_text(cell: str) -> str:
    """Return a cell that a spreadsheet shows and does not compute."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
