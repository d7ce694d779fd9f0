"""What the API's description says of bodies: handlers read them as bytes, so the framework cannot know."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.ambassadors import AmbassadorProfile
from schemas.contacts import ContactProfile
from schemas.members import MemberProfile
from schemas.previews import NeedPreview
from services.ingest.entities import NeedBody, NeedPosted
from services.ingest.keys import KeyAsked, Overlap

BODIES: Final = (
    MemberProfile,
    ContactProfile,
    NeedBody,
    NeedPosted,
    NeedPreview,
    AmbassadorProfile,
    KeyAsked,
    Overlap,
)

_PLACE: Final = "#/components/schemas/{model}"


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Return what a route says of its body (`openapi_extra`); `model` is one of `BODIES`."""
    schema = {"$ref": _PLACE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def answers(model: type[BaseModel]) -> dict[str, Any]:
    """Return what a route says of its answer (`openapi_extra`); `model` is one of `BODIES`."""
    schema = {"$ref": _PLACE.format(model=model.__name__)}
    content = {"application/json": {"schema": schema}}
    return {"responses": {"200": {"description": "Successful Response", "content": content}}}


def takes_lines() -> dict[str, Any]:
    """Return what a route says of a body of lines (`openapi_extra`): each is another body, with its id."""
    row = {"type": "string", "description": "One JSON object a line: the body of a PUT, with its id"}
    return {"requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": row}}}}


def describe_bodies(app: FastAPI) -> None:
    """Have the description of `app` hold the schemas that `takes` points at."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, found = models_json_schema([(model, "validation") for model in BODIES], ref_template=_PLACE)
            description.setdefault("components", {}).setdefault("schemas", {}).update(found["$defs"])
            app.openapi_schema = description
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's own way to extend it
