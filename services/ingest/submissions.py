"""What organisations' own producers send: taken as if it had been posted, and answered on `submission-results.v1`.

1. The signature says who sends (`services.ingest.signed`). What nobody signed is a dead letter: nobody is there to be
   answered.
2. The submission's id is a claim. What was said of it before is said again, and nothing else is done.
3. It is taken as a line of a bulk request is: by the same methods, checks and words.
4. What came of it is stored with the claim, then told; only then is the record settled.

So a record that is read again, after a crash or a rebalance, is taken once and answered at least once, each time by the
same event. While the log or the store does not confirm, the batch waits and is tried again: nothing is passed over, and
what follows from a record that waits does so too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Literal

from schemas.ids import derived_id
from schemas.submissions import ID_HEADER, SubmissionAnswered
from schemas.topics import MAX_EVENT_BYTES, SUBMISSION_RESULTS
from services.ingest import problems
from services.ingest.claims import Claim, Claims, UsedError, claim_of
from services.ingest.entities import CONTACT, Taken
from services.ingest.keys import Caller, Issued, Keyring, Signer
from services.ingest.ledger import Asked
from services.ingest.metrics import SUBMISSIONS
from services.ingest.problems import ERRORS_SHOWN, Problem
from services.ingest.refusals import problem_of
from services.ingest.signed import Submission, UnsignedError, key_named, opened, untimely
from services.ingest.taking import Lanes, Ready, Row, Taking, row_of
from services.runtime import logs
from services.runtime.clock import Clock
from services.runtime.errors import PermanentError, TransientError
from services.runtime.outcome import describe
from services.runtime.publishing import KafkaPublisher
from services.runtime.settlement import RawRecord

# As the contract has them. A name of a field is whatever the sender called it.
_FIELD_CHARACTERS: Final = 200
_TEXT_CHARACTERS: Final = 2_000
NOTES_TOLD: Final = 100

_FAILED: Final = HTTPStatus.INTERNAL_SERVER_ERROR

OUR_MISTAKE: Final = (
    "the service failed on it, no fault of its sender: its log says where; once that is mended, replay it"
)
"""Why a record that ingest cannot handle is set aside."""

Outcome = Literal["accepted", "refused", "repeated"]

Publish = Callable[[Asked], Awaitable[tuple[str, str, Taken]]]
"""Publishes what a submission says; returns the name of its kind and its id with what was taken."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """What became of a record. `waits_for`: why it is not settled after all; `set_aside`: why it is a dead letter."""

    status: int
    waits_for: str = ""
    set_aside: str | None = None


class Submissions:
    """Takes submissions, many at a time; those of one entity, and of what belongs to it, in their order."""

    def __init__(
        self, *, taking: Taking, keyring: Keyring, claims: Claims, publisher: KafkaPublisher, clock: Clock
    ) -> None:
        self._taking = taking
        self._keyring = keyring
        self._claims = claims
        self._publisher = publisher
        self._clock = clock
        self._log = logs.get()

    async def take(self, records: Sequence[RawRecord], noted: dict[int, str | None]) -> None:
        """See `services.runtime.settlement.Taker`."""
        left = [(place, record) for place, record in enumerate(records) if place not in noted]
        signers = await self._signers([record for _, record in left])
        lanes = Lanes[_Settled]()
        begun: dict[int, asyncio.Task[_Settled]] = {}
        used: dict[str, Issued] = {}
        for place, record in left:
            try:
                submission = opened(record.headers, record.value, signers.get)
            except UnsignedError as error:
                noted[place] = str(error)
            else:
                used[submission.key.key_id] = submission.key
                begun[place] = self._begin(submission, lanes)
        await asyncio.gather(*begun.values())
        await asyncio.gather(*map(self._keyring.used, used.values()))
        for place, task in begun.items():
            if not task.result().waits_for:
                noted[place] = task.result().set_aside
        if waiting := [task.result().waits_for for task in begun.values() if task.result().waits_for]:
            raise TransientError(waiting[0])

    async def answer(self, caller: Caller, submission_id: str) -> SubmissionAnswered:
        """Return what was answered to a submission of the caller in the last 24 hours.

        Raises:
            Problem: nothing was.
        """
        said = await self._claims.newest(_claim(caller, submission_id, b"").claim_id)
        if said is None:
            raise Problem(
                404,
                "Not found",
                "No submission of this id was answered to you in the last 24 hours. It may not be read yet; one whose "
                "signature is not right is answered to nobody.",
            )
        return SubmissionAnswered.model_validate(said)

    async def _signers(self, records: Sequence[RawRecord]) -> dict[str, Signer]:
        named = {key_id for record in records if (key_id := key_named(record.headers)) is not None}
        found = zip(named, await asyncio.gather(*map(self._keyring.signer, named)), strict=True)
        return {key_id: signer for key_id, signer in found if signer is not None}

    def _begin(self, submission: Submission, lanes: Lanes[_Settled]) -> "asyncio.Task[_Settled]":
        try:
            row = _row(submission)
        except Problem as problem:
            return asyncio.create_task(self._settle(submission, partial(_refuse, problem)))

        async def take(ready: Ready) -> _Settled:
            async def publish(asked: Asked) -> tuple[str, str, Taken]:
                return row.kind.name, *(await self._taking.take(row, submission.sender, asked))

            try:
                # Whatever comes of this one: what follows looks no further back than here.
                await ready()
            except Problem as before:
                return _Settled(before.status, before.detail)
            return await self._settle(submission, publish)

        return lanes.begin(row, take)

    async def _settle(self, submission: Submission, publish: Publish) -> _Settled:
        """Publish, store the answer, tell it."""
        try:
            claim = _claim(submission.sender, submission.submission_id, submission.body)
            answer, outcome = await self._answer(submission, claim, publish)
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return _Settled(answer.status, answer.problem.detail if answer.problem else "")
            await self._tell(answer, claim, submission.traceparent)
            SUBMISSIONS.labels(outcome).inc()
        except Exception as error:  # whatever it is: the record waits, and its neighbours are settled
            return _Settled(HTTPStatus.SERVICE_UNAVAILABLE, describe(error))
        return _Settled(answer.status, set_aside=OUR_MISTAKE if answer.status >= _FAILED else None)

    async def _answer(
        self, submission: Submission, claim: Claim, publish: Publish
    ) -> tuple[SubmissionAnswered, Outcome]:
        now = self._clock()
        if said := await self._claims.said(claim.claim_id):
            if said.fingerprint == claim.fingerprint:
                return SubmissionAnswered.model_validate(said.content), "repeated"
            return self._refused(submission, _used()), "refused"
        # After the look for what was said: what was taken in time stays so, however late it is read again.
        if (problem := untimely(submission, now=now)) is not None:
            return await self._refused_for_now(submission, claim, problem, now), "refused"
        outcome: Outcome = "accepted"
        try:
            kind, entity_id, taken = await publish(Asked(claim=claim, traceparent=submission.traceparent))
        except UsedError:
            return self._refused(submission, _used()), "refused"
        except Exception as error:
            problem = problem_of(error)
            answer, outcome = self._refused(submission, problem), "refused"
            if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return answer, outcome  # to nobody: it waits
            if problem.status >= _FAILED:  # the same again may succeed, once the mistake is mended
                return await self._refused_for_now(submission, claim, problem, now), outcome
        else:
            about = {"kind": kind, "entity_id": entity_id, "entity_rev": taken.rev}
            notes = [_remark(asdict(note)) for note in taken.notes[:NOTES_TOLD]]
            answer = self._made(submission, status=HTTPStatus.ACCEPTED, **about, notes=notes)
        said = await self._claims.say((claim, answer.model_dump(mode="json"), now))
        return SubmissionAnswered.model_validate(said.content), outcome

    async def _refused_for_now(
        self, submission: Submission, claim: Claim, problem: Problem, now: datetime
    ) -> SubmissionAnswered:
        """Refuse what may be taken under the same id later, and have its sender find that until then."""
        answer = self._refused(submission, problem)
        await self._claims.say_for_now(claim, answer.model_dump(mode="json"), now=now)
        return answer

    def _refused(self, submission: Submission, problem: Problem) -> SubmissionAnswered:
        if problem.status == HTTPStatus.FORBIDDEN:
            self._log.warning("submission_not_allowed", member=str(submission.sender.member), key=submission.key.key_id)
        return self._made(submission, status=problem.status, problem=_told(problem))

    def _made(self, submission: Submission, **about: Any) -> SubmissionAnswered:
        return SubmissionAnswered(
            rev=1,
            cluster=submission.sender.member.cluster,
            member_id=submission.sender.member.member_id,
            submission_id=submission.submission_id,
            answered_at=self._clock(),
            **about,
        )

    async def _tell(self, answer: SubmissionAnswered, claim: Claim, traceparent: str | None) -> None:
        try:
            await self._publisher.publish(
                SUBMISSION_RESULTS,
                answer.key,
                answer,
                rev=answer.rev,
                occurred_at=answer.answered_at,
                traceparent=traceparent,
                # Another answer is another event: what was too old may be taken once it is signed anew.
                identity=derived_id("submission", claim.claim_id, claim.fingerprint, str(answer.status)),
            )
        except PermanentError as error:  # it will never be told there, and is still told over HTTP
            self._log.error("answer_not_told", error=describe(error))


def _row(submission: Submission) -> Row:
    if len(submission.body) > MAX_EVENT_BYTES:
        raise problems.too_large(MAX_EVENT_BYTES)
    row = row_of(submission.sender.member.cluster, submission.body)
    if row.kind is CONTACT:
        raise problems.forbidden(
            "A contact is told over HTTP alone (PUT .../contact): how a person is reached belongs on no topic that "
            "keeps what everybody sends."
        )
    return row


async def _refuse(problem: Problem, _: Asked) -> tuple[str, str, Taken]:
    raise problem


def _claim(caller: Caller, submission_id: str, body: bytes) -> Claim:
    # No `Idempotency-Key` has a space: whatever it is, it is another claim.
    return claim_of(caller.scope, f"submission {submission_id}", body)


def _used() -> Problem:
    return Problem(
        422,
        f"{ID_HEADER} already used",
        f"This {ID_HEADER} came with other content in the last 24 hours. Send a new one with new content.",
    )


def _told(problem: Problem) -> dict[str, Any]:
    """Return what is said of a problem where others may read it: all but the values that were sent."""
    members = problem.members()
    told = {name: members[name] for name in ("type", "status")}
    told |= {name: _cut(members[name], _TEXT_CHARACTERS if name == "detail" else 200) for name in ("title", "detail")}
    told["errors"] = [_remark(one) for one in members.get("errors", ())[:ERRORS_SHOWN]]
    return told


def _remark(said: Mapping[str, str]) -> dict[str, str]:
    return {
        "field": _cut(said["field"], _FIELD_CHARACTERS),
        "detail": _cut(said["detail"], _TEXT_CHARACTERS),
        "remedy": _cut(said["remedy"], _TEXT_CHARACTERS),
    }


def _cut(text: str, characters: int) -> str:
    # JSON can spell half a character, and neither a database nor the log can.
    whole = text.encode(errors="replace").decode()
    return whole if len(whole) <= characters else f"{whole[: characters - 1]}…"
