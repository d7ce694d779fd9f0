"""What an operator decides about matching."""

from typing import Annotated

from pydantic import Field

from services.runtime.settings import PreviewSettings


class MatcherSettings(PreviewSettings):
    """Settings of the matcher. Each field is read from `MAILLAGE_<FIELD>`."""

    bar: Annotated[float, Field(gt=0, le=5, description="Least score of a suggestion; see docs/matching.md")] = 0.4
    suggestions_per_request: Annotated[
        int, Field(ge=1, le=100, description="Members suggested for a posted request, the best ones")
    ] = 5
    suggestions_per_standing_request: Annotated[
        int, Field(ge=1, le=100, description="Members suggested while a member has posted no request")
    ] = 3
    tellings_per_week: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="How often, in seven days, one member is suggested in a cluster; then the next best comes in "
            "its place, and it waits; 0: no limit",
        ),
    ] = 20
    snapshot: Annotated[
        str, Field(description="Folder for a snapshot of the index, from which the next start is fast; empty: none")
    ] = ""
