"""The HTTP routes."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from schemas.ambassadors import AmbassadorKey, AmbassadorProfile
from schemas.base import Slug
from schemas.contacts import ContactProfile
from schemas.members import MemberKey, MemberProfile
from schemas.needs import NeedKey, NeedStatus
from schemas.previews import NeedPreview
from services.ingest.bulk import Bulk, Lot
from services.ingest.edge import (
    Edge,
    LinesResponse,
    accepted,
    answered,
    key_told,
    keys_shown,
    lines_of,
    listed,
    parse,
    shown,
)
from services.ingest.entities import KIND_BY_NAME, NeedBody, NeedPosted, Part
from services.ingest.keymaking import KeyMaking
from services.ingest.keys import KeyAsked, Overlap
from services.ingest.openapi import answers, takes, takes_lines
from services.ingest.service import IngestService
from services.ingest.submissions import Submissions


def routes(*, service: IngestService, keys: KeyMaking, bulk: Bulk, submissions: Submissions, edge: Edge) -> APIRouter:
    """Return the routes of the API."""
    router = APIRouter(prefix="/v1")
    _members(router, service, edge)
    _contacts(router, service, edge)
    _needs(router, service, edge)
    _ambassadors(router, service, edge)
    _bulk(router, bulk, edge)
    _submissions(router, submissions, edge)
    _keys(router, keys, edge)
    return router


def _part(after: Slug | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Part:
    """Which part of a list a request asks for: so many, those after an id."""
    return Part(after or "", limit)


def _bulk(router: APIRouter, bulk: Bulk, edge: Edge) -> None:
    @router.post("/bulk", tags=["bulk"], openapi_extra=takes_lines())
    async def publish_rows(
        cluster: Slug, request: Request, kind: Literal["members", "needs", "ambassadors", "contacts"] | None = None
    ) -> Response:
        """Publish many: one JSON object a line, with its id, and an answer a line, in their order."""
        call = await edge.open_lines(request)
        lot = Lot(edge.caller_again(request), cluster, call.asked, kind and KIND_BY_NAME[kind])
        return LinesResponse(await bulk.begin(lot, lines_of(request)))


def _submissions(router: APIRouter, submissions: Submissions, edge: Edge) -> None:
    @router.get("/submissions/{submission_id:path}", tags=["submissions"])
    async def get_submission(submission_id: str, request: Request) -> Response:
        """Show what was answered to a submission over Kafka, by its `webhook-id`."""
        call = await edge.open(request)
        return answered(await submissions.answer(call.caller, submission_id))


def _members(router: APIRouter, service: IngestService, edge: Edge) -> None:
    path = "/clusters/{cluster}/members/{member_id}"

    @router.get("/clusters/{cluster}/members", tags=["members"])
    async def list_members(cluster: Slug, request: Request, part: Annotated[Part, Depends(_part)]) -> Response:
        """Show the members of a cluster, in the order of their ids, some at a time. Operator only."""
        call = await edge.open(request)
        return await listed(await service.list_members(call.caller, cluster, part), request)

    @router.put(path, status_code=202, tags=["members"], openapi_extra=takes(MemberProfile))
    async def put_member(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Publish a member's profile, whole."""
        call = await edge.open(request)
        key = MemberKey(cluster=cluster, member_id=member_id)
        profile = parse(MemberProfile, call.body)
        return accepted(member_id, await service.put_member(call.caller, key, profile, call.asked))

    @router.get(path, tags=["members"])
    async def get_member(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Show a member's profile as it is published."""
        call = await edge.open(request)
        return shown(await service.get_member(call.caller, MemberKey(cluster=cluster, member_id=member_id)))

    @router.delete(path, status_code=202, tags=["members"])
    async def delete_member(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Erase a member, its contact, its needs and its keys."""
        call = await edge.open(request)
        key = MemberKey(cluster=cluster, member_id=member_id)
        return accepted(member_id, await service.erase_member(call.caller, key, call.asked))


def _contacts(router: APIRouter, service: IngestService, edge: Edge) -> None:
    path = "/clusters/{cluster}/members/{member_id}/contact"

    @router.put(path, status_code=202, tags=["members"], openapi_extra=takes(ContactProfile))
    async def put_contact(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Publish who answers for a member when it is introduced."""
        call = await edge.open(request)
        key = MemberKey(cluster=cluster, member_id=member_id)
        profile = parse(ContactProfile, call.body)
        return accepted(member_id, await service.put_contact(call.caller, key, profile, call.asked))

    @router.get(path, tags=["members"])
    async def get_contact(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Show a member's contact."""
        call = await edge.open(request)
        return shown(await service.get_contact(call.caller, MemberKey(cluster=cluster, member_id=member_id)))

    @router.delete(path, status_code=202, tags=["members"])
    async def delete_contact(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Erase a member's contact."""
        call = await edge.open(request)
        key = MemberKey(cluster=cluster, member_id=member_id)
        return accepted(member_id, await service.erase_contact(call.caller, key, call.asked))


def _needs(router: APIRouter, service: IngestService, edge: Edge) -> None:
    path = "/clusters/{cluster}/needs/{need_id}"

    @router.get("/clusters/{cluster}/needs", tags=["needs"])
    async def list_needs(
        cluster: Slug,
        request: Request,
        part: Annotated[Part, Depends(_part)],
        member_id: Slug | None = None,
        status: NeedStatus | None = None,
    ) -> Response:
        """Show the needs of a member, in the order of their ids, some at a time; to the operator those of all."""
        call = await edge.open(request)
        return await listed(
            await service.list_needs(call.caller, cluster, member_id=member_id, status=status, part=part), request
        )

    @router.post("/clusters/{cluster}/needs", status_code=202, tags=["needs"], openapi_extra=takes(NeedPosted))
    async def post_need(cluster: Slug, request: Request) -> Response:
        """Publish a new need."""
        call = await edge.open(request)
        posted = parse(NeedPosted, call.body)
        return accepted(*await service.post_need(call.caller, cluster, posted, call.asked))

    @router.post(
        "/clusters/{cluster}/needs/preview", tags=["needs"], openapi_extra=takes(NeedPosted) | answers(NeedPreview)
    )
    async def preview_need(cluster: Slug, request: Request) -> Response:
        """Tell what would come of a need if it were posted now; nothing is stored."""
        call = await edge.open(request)
        posted = parse(NeedPosted, call.body)
        return answered(await service.preview_need(call.caller, cluster, posted))

    @router.put(path, status_code=202, tags=["needs"], openapi_extra=takes(NeedBody))
    async def put_need(cluster: Slug, need_id: Slug, request: Request) -> Response:
        """Publish a need, whole."""
        call = await edge.open(request)
        key = NeedKey(cluster=cluster, need_id=need_id)
        return accepted(need_id, await service.put_need(call.caller, key, parse(NeedBody, call.body), call.asked))

    @router.get(path, tags=["needs"])
    async def get_need(cluster: Slug, need_id: Slug, request: Request) -> Response:
        """Show a need as it is published."""
        call = await edge.open(request)
        return shown(await service.get_need(call.caller, NeedKey(cluster=cluster, need_id=need_id)))

    @router.delete(path, status_code=202, tags=["needs"])
    async def delete_need(cluster: Slug, need_id: Slug, request: Request) -> Response:
        """Erase a need."""
        call = await edge.open(request)
        key = NeedKey(cluster=cluster, need_id=need_id)
        return accepted(need_id, await service.erase_need(call.caller, key, call.asked))

    @router.post(f"{path}/withdrawal", status_code=202, tags=["needs"])
    async def withdraw_need(cluster: Slug, need_id: Slug, request: Request) -> Response:
        """Let a need stand no more; its text is kept."""
        call = await edge.open(request)
        key = NeedKey(cluster=cluster, need_id=need_id)
        return accepted(need_id, await service.withdraw_need(call.caller, key, call.asked))


def _ambassadors(router: APIRouter, service: IngestService, edge: Edge) -> None:
    path = "/clusters/{cluster}/ambassadors/{ambassador_id}"

    @router.put(path, status_code=202, tags=["ambassadors"], openapi_extra=takes(AmbassadorProfile))
    async def put_ambassador(cluster: Slug, ambassador_id: Slug, request: Request) -> Response:
        """Publish who relays, and how to reach them. Operator only."""
        call = await edge.open(request)
        key = AmbassadorKey(cluster=cluster, ambassador_id=ambassador_id)
        profile = parse(AmbassadorProfile, call.body)
        return accepted(ambassador_id, await service.put_ambassador(call.caller, key, profile, call.asked))

    @router.get(path, tags=["ambassadors"])
    async def get_ambassador(cluster: Slug, ambassador_id: Slug, request: Request) -> Response:
        """Show an ambassador. Operator only."""
        call = await edge.open(request)
        key = AmbassadorKey(cluster=cluster, ambassador_id=ambassador_id)
        return shown(await service.get_ambassador(call.caller, key))

    @router.delete(path, status_code=202, tags=["ambassadors"])
    async def delete_ambassador(cluster: Slug, ambassador_id: Slug, request: Request) -> Response:
        """Erase an ambassador. Operator only."""
        call = await edge.open(request)
        key = AmbassadorKey(cluster=cluster, ambassador_id=ambassador_id)
        return accepted(ambassador_id, await service.erase_ambassador(call.caller, key, call.asked))


def _keys(router: APIRouter, keys: KeyMaking, edge: Edge) -> None:
    @router.post("/keys", status_code=201, tags=["keys"], openapi_extra=takes(KeyAsked))
    async def issue_key(request: Request) -> Response:
        """Issue a key to a member; it is told once. By the operator, or a key with the scope `keys`."""
        call = await edge.open(request)
        return key_told(*await keys.issue(call.caller, parse(KeyAsked, call.body)))

    @router.get("/keys", tags=["keys"])
    async def list_keys(cluster: Slug, member_id: Slug, request: Request) -> Response:
        """Show the keys of a member, and when each was last used; not what makes them keys."""
        call = await edge.open(request)
        return keys_shown(await keys.of(call.caller, MemberKey(cluster=cluster, member_id=member_id)))

    @router.post("/keys/{key_id}/rotation", status_code=201, tags=["keys"], openapi_extra=takes(Overlap))
    async def rotate_key(key_id: str, request: Request) -> Response:
        """Issue a key with the rights of another, which opens for a while yet."""
        call = await edge.open(request)
        return key_told(*await keys.rotate(call.caller, key_id, parse(Overlap, call.body or b"{}")))

    @router.delete("/keys/{key_id}", status_code=204, tags=["keys"])
    async def revoke_key(key_id: str, request: Request) -> Response:
        """Revoke a key, at once."""
        call = await edge.open(request)
        await keys.revoke(call.caller, key_id)
        return Response(status_code=204)
