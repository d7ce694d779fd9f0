"""Two who are introduced, in these tests: how the ambassador and both sides act, and what was sent and said."""

from typing import Any

import httpx

from schemas.feedback import FeedbackGiven, Side
from tests.component.notifier.world import Process, World, answer_address, hidden_field, inbox
from tests.unit.notifier.samples import sid

ASKING, OFFERING = Side.REQUESTING, Side.OFFERING
ITEM = inbox() + f"/s/{sid('soil')}"
INTRODUCE = {"act": "introduced"}
YES, NO = {"act": "accepted"}, {"act": "declined"}
ATLAS, LAB = "atlas@example.org", "sensors-lab@example.org"


async def act(process: Process, data: dict[str, str], *, item: str = ITEM) -> httpx.Response:
    """Fill in the form of the ambassador's page and send it."""
    async with process.browser() as client:
        field = hidden_field((await client.get(item)).text)
        return await client.post(item, data={"form": field, **data})


async def answer(process: Process, side: Side, data: dict[str, str], **headers: str) -> httpx.Response:
    async with process.browser(**headers) as client:
        return await client.post(answer_address(sid("soil"), side), data=data)


async def introduced(process: Process) -> None:
    assert (await act(process, INTRODUCE)).status_code == 303
    await process.run()


def sent(world: World) -> list[tuple[str, str]]:
    """Recipients and subjects of what was sent, each message once."""
    by_id = {str(mail["Message-ID"]): (recipient, str(mail["Subject"])) for recipient, mail in world.mail.mails}
    return sorted(by_id.values())


def feedback(world: World) -> list[Any]:
    return world.log.of(FeedbackGiven)
