"""What must be so after every run, whatever happened in it."""

import json
from collections.abc import Iterator
from typing import Protocol
from uuid import UUID

from schemas.notifications import Channel
from schemas.topics import TOPICS
from services.notifier.domain.routing import Recipient, Relay, Seat, recipients
from services.notifier.store.rows import notification_id
from tests.faults.load import Load
from tests.faults.story import CLUSTER, GUEST, Act, Story
from tests.faults.traces import INGESTS, LAST_RECORDS, Suggested, Traces, rev

_TOPIC = {topic.name.partition(".")[0]: topic.name for topic in TOPICS}


class Told(Protocol):
    """What a run has to say for itself; see `Run`."""

    load: Load
    letters: int
    failing: str | None
    shuffled: bool
    past_ingest: bool


def judge(story: Story, people: list[Act], run: Told, found: Traces, calm: Traces | None) -> list[str]:
    """Return what is not as it must be, one line each. `calm`: what the undisturbed run left; none: this is it."""
    wrong = [
        *_acknowledged_is_stored(run.load, found, shuffled=run.shuffled),
        *_suggested_as_undisturbed(found, calm),
        *_told_once(story, people, found, run.failing),
        *_erased_is_gone(story, found, run),
    ]
    if found.dead_letters != run.letters:
        wrong.append(f"{found.dead_letters} dead letters, {run.letters} were to be")
    return wrong


def _acknowledged_is_stored(load: Load, found: Traces, *, shuffled: bool) -> Iterator[str]:
    """Every acknowledged state is on the log, or a later one, and the last one wins: there and in the matcher."""
    for path, (acknowledged, act) in load.acknowledged.items():
        kind, _, entity = path.partition("/")
        key = f"{CLUSTER}/{entity}".encode()
        last = (found.highest if shuffled else found.newest)[_TOPIC[kind]].get(key)
        if last is None or rev(last) < acknowledged:
            yield f"{path}: rev {acknowledged} was acknowledged, the last record has {last and rev(last)}"
            continue
        if rev(last) != rev(found.highest[_TOPIC[kind]][key]):
            yield f"{path}: the last record has rev {rev(last)}, which is not the highest"
        if kind != "ambassadors" and found.stored.get(path) != rev(last):
            yield f"{path}: the matcher has rev {found.stored.get(path)}, the log {rev(last)}"
        body = json.loads(last.value) if last.value else None
        told = None if body is None or act.body is None else {name: body[name] for name in act.body if name != "assets"}
        asked = None if act.body is None else {name: value for name, value in act.body.items() if name != "assets"}
        owner_gone = kind == "needs" and _owner_is_erased(load, act)
        if told != (None if owner_gone else asked) and kind != "ambassadors":
            yield f"{path}: the log does not say what was asked for last"


def _owner_is_erased(load: Load, need: Act) -> bool:
    owner = (need.body or {}).get("member_id")
    return f"members/{owner}" in load.acknowledged and load.acknowledged[f"members/{owner}"][1].body is None


def _suggested_as_undisturbed(found: Traces, calm: Traces | None) -> Iterator[str]:
    if not found.suggestions:
        yield "nothing was suggested"
    if calm is None:
        return
    keys = found.suggestions.keys() | calm.suggestions.keys()
    differing = sorted(key for key in keys if found.suggestions.get(key) != calm.suggestions.get(key))
    if differing:
        one = differing[0]
        yield (
            f"{len(differing)} suggestions differ: {one} is {found.suggestions.get(one)},"
            f" undisturbed {calm.suggestions.get(one)}"
        )


def _told_once(story: Story, people: list[Act], found: Traces, failing: str | None) -> Iterator[str]:
    """Each message reached its receiver under its one id, is on the log as delivered, and there was no other."""
    relays = [Relay(CLUSTER, act.path.partition("/")[2], (act.body or {}).get("city")) for act in people]
    rows = {act.path.partition("/")[2]: act.body or {} for act in people}
    for channel, field, came in (
        (Channel.WEBHOOK, "webhook", found.webhooks),
        (Channel.EMAIL, "email", found.mails),
    ):
        due: set[str] = set()
        for key, one in found.suggestions.items():
            for whom in _recipients(story, one, relays):
                if field in rows[whom.ambassador_id] and whom.ambassador_id not in (GUEST, failing):
                    person = f"{CLUSTER}/{whom.ambassador_id}"
                    due.add(str(notification_id(UUID(key), one.revision, person, channel)))
        # Whatever was lapsed or erased later, or told to the guest before it went, may have been told before that.
        may = {
            str(notification_id(UUID(key), number, f"{CLUSTER}/{person}", channel))
            for key in found.told_once
            for number in (1, 2)
            for person, row in rows.items()
            if field in row
        }
        if failing is not None and field == "webhook":
            refused = {
                str(notification_id(UUID(key), one.revision, f"{CLUSTER}/{failing}", channel))
                for key, one in found.suggestions.items()
                if any(whom.ambassador_id == failing for whom in _recipients(story, one, relays))
            }
            if not refused or refused - found.failed:
                yield f"{len(refused - found.failed)} of {len(refused)} refused messages are not on the log as failed"
        if missing := due - came.keys():
            yield f"{len(missing)} of {len(due)} messages by {channel} did not come, as {min(missing)}"
        if foreign := came.keys() - may:
            yield f"{len(foreign)} messages by {channel} were not to come, as {min(foreign)}"
        if unsaid := due - found.delivered:
            yield f"{len(unsaid)} messages by {channel} are not on the log as delivered, as {min(unsaid)}"


def _recipients(story: Story, one: Suggested, relays: list[Relay]) -> tuple[Recipient, ...]:
    asking, offering = (Seat(CLUSTER, story.cities[member]) for member in (one.asking, one.offering))
    return recipients(asking, offering, relays)


def _erased_is_gone(story: Story, found: Traces, run: Told) -> Iterator[str]:
    known = set(story.marks.values())
    for place, words in found.words.items():
        if run.shuffled and place.startswith(LAST_RECORDS):
            continue  # the fault itself put them there
        if run.past_ingest and place.startswith(INGESTS):
            continue  # nobody asked it to erase anything
        if erased := words & known:
            yield f"{len(erased)} erased texts are in {place}, as {min(erased)}"
