"""Words for codes of the contract. `_` marks a message for the catalogues; it is translated where it is shown."""

from typing import Final

from schemas.codes import Stage
from schemas.members import MemberKind


def _(message: str) -> str:
    return message


KINDS: Final = {
    MemberKind.COMPANY: _("Company"),
    MemberKind.STARTUP: _("Start-up"),
    MemberKind.LABORATORY: _("Laboratory"),
    MemberKind.UNIVERSITY: _("University"),
    MemberKind.ASSOCIATION: _("Association"),
    MemberKind.INNOVATION_CITY: _("Innovation city"),
    MemberKind.FUNDER: _("Funder"),
    MemberKind.PARTNER_CLUSTER: _("Partner cluster"),
}

STAGES: Final = {
    Stage.IDEA: _("Idea"),
    Stage.PROOF_OF_CONCEPT: _("Proof of concept"),
    Stage.PROTOTYPE: _("Prototype"),
    Stage.MARKET: _("On the market"),
    Stage.INTERNATIONAL: _("On international markets"),
}
