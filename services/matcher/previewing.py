"""Previews over HTTP, for ingest alone: whoever else is on the network has no key."""

import hmac
from hashlib import sha256
from typing import Final

from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.needs import NeedPublished
from schemas.previews import PREVIEW_PATH
from services.matcher.domain.previewing import UnknownAskerError
from services.matcher.service import Matcher, PreviewBusyError
from services.runtime import logs
from services.runtime.errors import TransientError
from services.runtime.outcome import describe
from services.runtime.store import StoreError

BUSY_SECONDS: Final = 1
"""When to ask again: a batch takes less."""

UNKNOWN_SECONDS: Final = 3
"""A member that was just published is known soon after."""


def preview_routes(app: Starlette, matcher: Matcher, key: SecretStr) -> None:
    """Have `app` answer what would come of a need, to whoever has the key."""

    async def preview(request: Request) -> Response:
        """200 with the preview; 503 when to ask again; 401 and 422 are mistakes of ours."""
        if not _is(key, request.headers.get("authorization", "")):
            return Response(status_code=401)
        try:
            need = NeedPublished.model_validate_json(await request.body())
            found = await matcher.preview(need)
        except ValidationError:
            return Response(status_code=422)
        except UnknownAskerError:
            return _later(UNKNOWN_SECONDS)
        except PreviewBusyError:
            return _later(BUSY_SECONDS)
        except (StoreError, TransientError) as error:
            logs.get().warning("preview_failed", error=describe(error))
            return _later(BUSY_SECONDS)
        return JSONResponse(found.model_dump(mode="json"))

    app.add_route(PREVIEW_PATH, preview, methods=["POST"], include_in_schema=False)


def _is(key: SecretStr, presented: str) -> bool:
    expected = f"Bearer {key.get_secret_value()}"
    return hmac.compare_digest(sha256(expected.encode()).digest(), sha256(presented.encode()).digest())


def _later(seconds: int) -> Response:
    return Response(status_code=503, headers={"Retry-After": str(seconds)})
