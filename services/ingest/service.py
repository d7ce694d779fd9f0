"""Who may publish what, and what must be true of it. Everything else about a write is the ledger's."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from schemas.ambassadors import AmbassadorKey, AmbassadorProfile
from schemas.base import Key
from schemas.contacts import ContactProfile
from schemas.ids import derived_id
from schemas.members import MemberKey, MemberKind, MemberProfile
from schemas.needs import NeedKey, NeedStatus
from schemas.previews import NeedPreview
from services.ingest import codes, problems, wording
from services.ingest.entities import (
    AMBASSADOR,
    CONTACT,
    MEMBER,
    NEED,
    Kind,
    NeedBody,
    NeedPosted,
    Note,
    Page,
    Part,
    State,
    Stored,
    Taken,
    Value,
)
from services.ingest.keys import PUBLISHING, Caller, Operator, Organisation, Scope
from services.ingest.ledger import PLAINLY, Asked, Change, Ledger
from services.ingest.previews import Previews
from services.ingest.problems import FieldError, Problem, shorten
from services.ingest.store import EntityStore
from services.ingest.wording import Worded
from services.runtime.clock import Clock
from services.runtime.store import StoreError
from services.runtime.threads import in_thread

OPERATORS_FIELDS: Final = ("admission", "label", "represents")
"""What the cluster says of a member, not the member of itself. `represents` opens a convention."""


class IngestService:
    """What can be asked of ingest."""

    def __init__(self, *, ledger: Ledger, entities: EntityStore, previews: Previews, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._previews = previews
        self._entities = entities

    async def put_member(self, caller: Caller, key: MemberKey, profile: MemberProfile, asked: Asked) -> Taken:
        """Publish a profile, whole."""
        _must_be(caller, key, Scope.PROFILE)
        worded = await in_thread(wording.member, profile)  # of a megabyte it takes a while
        _refuse_any((*codes.check_member(profile), *await self._unless_there(MEMBER, key, worded)))
        await self._check_city(key.cluster, profile.city, itself=key.member_id, kind=profile.kind)
        said = profile.model_fields_set
        return await self._write(
            MEMBER, key, lambda stored: _profile(caller, worded.value, said, stored), asked, worded.notes
        )

    async def get_member(self, caller: Caller, key: MemberKey) -> State:
        """Return a member as it is published."""
        _must_be(caller, key)
        return await self._get(MEMBER, key, f"member {key}")

    async def erase_member(self, caller: Caller, key: MemberKey, asked: Asked) -> Taken:
        """Erase a member, its contact, its needs and its keys."""
        _must_be(caller, key, *PUBLISHING)
        return await self._write(MEMBER, key, _erase(f"member {key}"), asked)

    async def put_contact(self, caller: Caller, key: MemberKey, profile: ContactProfile, asked: Asked) -> Taken:
        """Publish who answers for a member. Whoever has the address may sign in as all of the organisation."""
        _must_be(caller, key, Scope.CONTACT)
        notes = await self._check_owner(key, problems.not_found(f"member {key}"), asked)
        return await self._write(CONTACT, key, lambda stored: _contact(caller, profile, stored), asked, notes)

    async def get_contact(self, caller: Caller, key: MemberKey) -> State:
        """Return a member's contact."""
        _must_be(caller, key, Scope.CONTACT)
        return await self._get(CONTACT, key, f"contact of member {key}")

    async def erase_contact(self, caller: Caller, key: MemberKey, asked: Asked) -> Taken:
        """Erase a member's contact."""
        _must_be(caller, key, Scope.CONTACT)
        return await self._write(CONTACT, key, _erase(f"contact of member {key}"), asked)

    async def post_need(self, caller: Caller, cluster: str, posted: NeedPosted, asked: Asked) -> tuple[str, Taken]:
        """Publish a new need; return its id with what was taken.

        Without an id of its own it gets one, derived from the idempotent request if it is one: however often that is
        repeated, it is one need.
        """
        derived = derived_id("need", asked.claim.claim_id) if asked.claim else uuid4()
        key = NeedKey(cluster=cluster, need_id=posted.need_id or str(derived))
        body = NeedBody.model_validate(posted.model_dump(exclude={"need_id"}))
        return key.need_id, await self._put_need(caller, key, body, asked, new=True)

    async def preview_need(self, caller: Caller, cluster: str, posted: NeedPosted) -> NeedPreview:
        """Return what would come of a need if it were posted now; nothing is stored.

        With the id of a need that is there: if it were replaced.
        """
        key = NeedKey(cluster=cluster, need_id=posted.need_id or str(uuid4()))
        body = NeedBody.model_validate(posted.model_dump(exclude={"need_id"}))
        _, worded = await self._check_need(caller, key, body, PLAINLY)
        if posted.need_id is not None:
            _must_own(caller, (await self._entities.get(NEED, key)).value)
        return await self._previews.of_need(key, worded.value)

    async def put_need(self, caller: Caller, key: NeedKey, body: NeedBody, asked: Asked) -> Taken:
        """Publish a need, whole."""
        return await self._put_need(caller, key, body, asked, new=False)

    async def get_need(self, caller: Caller, key: NeedKey) -> State:
        """Return a need as it is published."""
        _must_be_of(caller, key.cluster)
        found = await self._get(NEED, key, f"need {key}")
        _must_own(caller, found.value)
        return found

    async def list_needs(
        self, caller: Caller, cluster: str, *, member_id: str | None, status: NeedStatus | None, part: Part
    ) -> Page:
        """Return the needs of a member; of all members for the operator."""
        _must_be_of(caller, cluster)
        if isinstance(caller, Organisation) and member_id not in (None, caller.member.member_id):
            raise problems.forbidden(_may(caller))
        owner = MemberKey(cluster=cluster, member_id=member_id) if member_id else None
        if isinstance(caller, Organisation):
            owner = caller.member
        return await self._entities.page(NEED, cluster, part, owner=owner, status=status)

    async def list_members(self, caller: Caller, cluster: str, part: Part) -> Page:
        """Return the members of a cluster. Operator only."""
        _must_be_operator(caller, "the list of members")
        return await self._entities.page(MEMBER, cluster, part)

    async def needs_of(self, caller: Caller, member: MemberKey, limit: int) -> Sequence[tuple[Key, State]]:
        """Return what a member's needs are called and how they stand, those changed last first."""
        _must_be(caller, member)
        return await self._entities.needs_of(member, limit)

    async def withdraw_need(self, caller: Caller, key: NeedKey, asked: Asked) -> Taken:
        """Let a need stand no more, its text kept."""

        def withdraw(stored: Stored) -> Value:
            if stored.value is None:
                raise problems.not_found(f"need {key}")
            _must_own(caller, stored.value)
            return {**stored.value, "status": NeedStatus.WITHDRAWN.value}

        _must_be_of(caller, key.cluster, Scope.NEEDS)
        return await self._write(NEED, key, withdraw, asked)

    async def erase_need(self, caller: Caller, key: NeedKey, asked: Asked) -> Taken:
        """Erase a need."""
        erase = _erase(f"need {key}")

        def erase_own(stored: Stored) -> None:
            _must_own(caller, stored.value)
            return erase(stored)

        _must_be_of(caller, key.cluster, Scope.NEEDS)
        return await self._write(NEED, key, erase_own, asked)

    async def put_ambassador(
        self, caller: Caller, key: AmbassadorKey, profile: AmbassadorProfile, asked: Asked
    ) -> Taken:
        """Publish who relays."""
        _must_be_operator(caller, "ambassadors")
        await self._check_city(key.cluster, profile.city)
        return await self._write(AMBASSADOR, key, lambda _: profile.model_dump(mode="json"), asked)

    async def get_ambassador(self, caller: Caller, key: AmbassadorKey) -> State:
        """Return an ambassador with contact details."""
        _must_be_operator(caller, "ambassadors")
        return await self._get(AMBASSADOR, key, f"ambassador {key}")

    async def erase_ambassador(self, caller: Caller, key: AmbassadorKey, asked: Asked) -> Taken:
        """Erase an ambassador."""
        _must_be_operator(caller, "ambassadors")
        return await self._write(AMBASSADOR, key, _erase(f"ambassador {key}"), asked)

    async def _put_need(self, caller: Caller, key: NeedKey, body: NeedBody, asked: Asked, *, new: bool) -> Taken:
        owner, worded = await self._check_need(caller, key, body, asked)
        value = worded.value

        def change(stored: Stored) -> Value:
            _must_own(caller, stored.value)
            if new and stored.value not in (None, value):
                raise Problem(409, "Exists", f"There is a need {key} already. Replace it with PUT.")
            return value

        taken = await self._write(NEED, key, change, asked, worded.notes)
        return replace(taken, notes=(*taken.notes, *await self._also_said(owner, key, value)))

    async def _check_need(self, caller: Caller, key: NeedKey, body: NeedBody, asked: Asked) -> tuple[MemberKey, Worded]:
        """Return whose need it is, and how it is to be published, if it may be."""
        _must_be_of(caller, key.cluster, Scope.NEEDS)
        _must_own(caller, {"member_id": body.member_id})
        worded = wording.need(body)
        _refuse_any((*codes.check_need(body), *await self._unless_there(NEED, key, worded)))
        owner = MemberKey(cluster=key.cluster, member_id=body.member_id)
        notes = await self._check_owner(owner, problems.no_such_member(body.member_id, key.cluster), asked)
        return owner, replace(worded, notes=(*worded.notes, *notes))

    async def _unless_there(self, kind: Kind, key: Key, worded: Worded) -> Sequence[FieldError]:
        """Return what is wrong with words, unless they are published as they are: they may be older than our rules."""
        if not worded.errors:
            return ()
        published = (await self._entities.get(kind, key)).value
        return () if wording.same_words(worded.value, published) else worded.errors

    async def _write(self, kind: Kind, key: Key, change: Change, asked: Asked, notes: Iterable[Note] = ()) -> Taken:
        write = self._ledger.look if asked.dry_run else self._ledger.write
        return Taken(await write(kind, key, change, asked), tuple(notes), asked.dry_run)

    async def _also_said(self, owner: MemberKey, key: NeedKey, value: Value) -> Sequence[Note]:
        """Return a note where another need of the member says the same and stands too."""
        if value["status"] != NeedStatus.OPEN:
            return ()
        try:
            others = await self._entities.saying_the_same(owner, key, value, self._clock())
        except StoreError:  # no more than a note is lost: the need is taken, and to say 503 would make another
            return ()
        return [
            Note(
                "text",
                f"the need {other} of the same member says the same and stands too",
                "Withdraw one of them, unless both are meant: each is paired by itself.",
            )
            for other in others
        ]

    async def _get(self, kind: Kind, key: Key, what: str) -> State:
        current = (await self._entities.get(kind, key)).current
        if current is None or current.value is None:
            raise problems.not_found(what)
        return current

    async def _check_owner(self, owner: MemberKey, absent: Problem, asked: Asked) -> Sequence[Note]:
        """Refuse what belongs to nobody. A dry run notes it: the member may be in the same file."""
        standing = await self._entities.standing(owner)
        if standing.arriving and standing.kind is None and not asked.dry_run:
            await self._ledger.settle(MEMBER, owner)
            standing = await self._entities.standing(owner)
        if standing.kind is not None and not standing.leaving:
            return ()
        if asked.dry_run:
            return [Note("member_id", f"the member {owner} is not published yet", "Publish it first.")]
        raise absent

    async def _check_city(
        self, cluster: str, city: str | None, *, itself: str = "", kind: MemberKind | None = None
    ) -> None:
        """Refuse a member that is known and no innovation city. An unknown one may follow: files come in any order."""
        if city is None:
            return
        if city == itself:
            found = kind
        else:
            found_kind = (await self._entities.standing(MemberKey(cluster=cluster, member_id=city))).kind
            found = MemberKind(found_kind) if found_kind else None
        if found not in (None, MemberKind.INNOVATION_CITY):
            raise problems.invalid(
                FieldError(
                    "city",
                    city,
                    f"the member of this id is no innovation city but a {found}",
                    "Name the member_id of an innovation city, or leave the field out.",
                )
            )


def _profile(caller: Caller, worded: Value, said: Collection[str], stored: Stored) -> Value:
    """Return what is to be published: what an organisation may not say of itself stays as it is.

    `said`: the fields that were sent.
    """
    if isinstance(caller, Operator):
        return worded
    value = worded.copy()
    refused: list[FieldError] = []
    for name in OPERATORS_FIELDS:
        kept = stored.value[name] if stored.value else MemberProfile.model_fields[name].default
        if name in said and value[name] != kept:
            refused.append(
                FieldError(
                    name,
                    shorten(value[name]),
                    "only the cluster's operator changes this field",
                    f"Leave it out, or send {shorten(kept)}.",
                )
            )
        value[name] = kept
    if refused:
        names = " and ".join(error.field for error in refused)
        raise problems.forbidden(f"An organisation's key may not change {names}.", *refused)
    return value


def _contact(caller: Caller, profile: ContactProfile, stored: Stored) -> Value:
    """Return what is to be published: a key that changes less than everything gives no address that would."""
    value = profile.model_dump(mode="json")
    published = stored.value["email"] if stored.value else None
    if isinstance(caller, Organisation) and value["email"] != published:
        missing = [scope for scope in PUBLISHING if scope not in caller.scopes]
        if missing:
            raise problems.forbidden(
                "Whoever is reached at the contact's email may change all that the organisation publishes, so a key "
                f"changes it only with the scopes {_and(PUBLISHING)}; this one lacks {_and(missing)}. "
                "Leave the email as it is published, or use a key with all of them.",
                FieldError("email", "", "this key may not change the address", "Send the address that is published."),
            )
    return value


def _erase(what: str) -> Callable[[Stored], None]:
    def erase(stored: Stored) -> None:
        if stored.current is None:
            raise problems.not_found(what)

    return erase


def _refuse_any(errors: Sequence[FieldError]) -> None:
    if errors:
        raise problems.invalid(*errors)


def _must_be_operator(caller: Caller, what: str) -> None:
    if isinstance(caller, Organisation):
        raise problems.forbidden(f"Only the operator's key gives access to {what}. {_may(caller)}")


def _must_be(caller: Caller, member: MemberKey, *scopes: Scope) -> None:
    if isinstance(caller, Organisation) and caller.member != member:
        raise problems.forbidden(_may(caller))
    _must_have(caller, scopes)


def _must_be_of(caller: Caller, cluster: str, *scopes: Scope) -> None:
    if isinstance(caller, Organisation) and caller.member.cluster != cluster:
        raise problems.forbidden(_may(caller))
    _must_have(caller, scopes)


def _must_have(caller: Caller, scopes: Sequence[Scope]) -> None:
    if isinstance(caller, Organisation) and (missing := [scope for scope in scopes if scope not in caller.scopes]):
        raise problems.forbidden(
            f"This key has the scopes {', '.join(caller.scopes)}; for this it would need {', '.join(missing)}. "
            "Use another key of the member, or have one issued."
        )


def _must_own(caller: Caller, need: Value | None) -> None:
    if isinstance(caller, Organisation) and need is not None and need["member_id"] != caller.member.member_id:
        raise problems.forbidden(_may(caller))


def _may(caller: Organisation) -> str:
    contact = [Scope.CONTACT] if Scope.CONTACT in caller.scopes else []
    reads, changes = _and([Scope.PROFILE, *contact, Scope.NEEDS]), _and(caller.scopes)
    return (
        f"This key is of the member {caller.member}: it may read its {reads}, and change its {changes}, nothing else."
    )


def _and(scopes: Sequence[Scope]) -> str:
    return " and ".join(filter(None, (", ".join(scopes[:-1]), scopes[-1])))
