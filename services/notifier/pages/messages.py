"""Words for the codes of the contract. `_` marks a message for the catalogues; it is translated where it is shown."""

from typing import Final

from schemas.ambassadors import Rhythm
from schemas.codes import IntellectualProperty
from schemas.feedback import NotRelevantReason, Result
from schemas.suggestions import AdjustmentScope, LapseReason, RequestSource
from services.notifier.domain.desk import Step
from services.notifier.domain.introduction import Answer, Phase
from services.notifier.domain.reaching import Reason, Way


def _(message: str) -> str:
    return message


ASKS: Final = {
    RequestSource.NEED: _("Seeks"),
    RequestSource.INTERESTS: _("Is interested in"),
    RequestSource.ASSETS: _("Works on"),
}

RIGHTS: Final = {
    IntellectualProperty.NONE: _("No rights reserved"),
    IntellectualProperty.SECRET: _("Secret know-how"),
    IntellectualProperty.COPYRIGHT: _("Copyright"),
    IntellectualProperty.PATENT_APPLIED: _("Patent applied for"),
    IntellectualProperty.PATENT_GRANTED: _("Patent granted"),
    IntellectualProperty.LICENSED: _("Licensed rights"),
}

REASONS: Final = {
    NotRelevantReason.WRONG_TOPIC: _("It is not the same subject"),
    NotRelevantReason.ALREADY_IN_TOUCH: _("They know each other already"),
    NotRelevantReason.NOT_AVAILABLE: _("Who may answer is not available"),
    NotRelevantReason.OTHER: _("Another reason"),
}

CONSEQUENCES: Final = {
    NotRelevantReason.WRONG_TOPIC: _(
        "For half a year the two count half for this request, and less where the same words bring them together."
    ),
    NotRelevantReason.ALREADY_IN_TOUCH: _("For half a year the two are not suggested to each other."),
    NotRelevantReason.NOT_AVAILABLE: _("For 30 days %(name)s counts for less in your cluster."),
    NotRelevantReason.OTHER: _("The two come back for this request only if one of the texts changes."),
}

CONSEQUENCES_ELSEWHERE: Final = {
    reason: CONSEQUENCES[reason if reason is NotRelevantReason.NOT_AVAILABLE else NotRelevantReason.OTHER]
    for reason in CONSEQUENCES
}
"""Where another cluster asks: what is said there weighs on nothing but that suggestion."""

ONCE: Final = {
    AdjustmentScope.PAIRING: _(
        "A colleague said on %(day)s that the two are not about the same subject: until %(end)s the pairing "
        "counts half."
    ),
    AdjustmentScope.ASKER: _(
        "A colleague said on %(day)s of another request of %(asker)s that these words bring it together with "
        "%(name)s by mistake: until %(end)s the pairing counts for less."
    ),
    AdjustmentScope.CLUSTER: _(
        "A colleague said on %(day)s that %(name)s is not available: until %(end)s it counts for less."
    ),
}

REPEATEDLY: Final = {
    AdjustmentScope.PAIRING: _(
        "Colleagues said, last on %(day)s, that the two are not about the same subject: until %(end)s the pairing "
        "counts half."
    ),
    AdjustmentScope.ASKER: _(
        "Colleagues said, last on %(day)s, of other requests of %(asker)s that these words bring it together with "
        "%(name)s by mistake: until %(end)s the pairing counts for less."
    ),
    AdjustmentScope.CLUSTER: _(
        "Colleagues said, last on %(day)s, that %(name)s is not available: until %(end)s it counts for less."
    ),
}

LAPSES: Final = {
    LapseReason.WITHDRAWN: _("The request was withdrawn. There is nothing left to do."),
    LapseReason.EXPIRED: _("The deadline of the request has passed. There is nothing left to do."),
    LapseReason.NOT_ELIGIBLE: _("One of the two no longer takes part in introductions. There is nothing left to do."),
}

PHASES: Final = {
    Phase.ASKED: _("Introduced; an answer is awaited"),
    Phase.MET: _("Both have accepted"),
    Phase.NOT_MET: _("The two will not meet"),
    Phase.ENDED: _("Closed"),
}

ANSWERS: Final = {
    Answer.AWAITED: _("has not answered yet"),
    Answer.ACCEPTED: _("would like to meet"),
    Answer.DECLINED: _("would rather not"),
    Answer.UNANSWERED: _("did not answer"),
}

RESULTS: Final = {
    Result.MEETING: _("They have met"),
    Result.CONTRACT: _("They work together"),
    Result.NOTHING: _("Nothing came of it"),
}

RHYTHMS: Final = {
    Rhythm.AT_ONCE: _("For each pairing, when it comes"),
    Rhythm.HOURLY: _("One an hour, with all that came"),
    Rhythm.DAILY: _("One a day"),
    Rhythm.WEEKLY: _("One a week, on the first of the days below"),
}

STEPS: Final = {
    Step.TOLD: _("Told"),
    Step.OPENED: _("Opened"),
    Step.TAKEN: _("Taken in hand"),
    Step.INTRODUCED: _("Introduced"),
    Step.BOTH_ACCEPTED: _("Both accepted"),
    Step.MEETING: _("Met"),
    Step.CONTRACT: _("Work together"),
    Step.NOTHING: _("Nothing came of it"),
    Step.PUT_ASIDE: _("Put aside"),
}

WAYS: Final = {
    Way.EMAIL: _("E-mail"),
    Way.WEBHOOK: _("Webhook"),
    Way.CHAT: _("Chat"),
}

OFF: Final = {
    Reason.REFUSED: _("The mail server at the other end says that there is no such mailbox."),
    Reason.BOUNCED: _("An e-mail came back: there is no such mailbox."),
    Reason.GONE: _("The receiver has answered that it wants no more messages (410)."),
    Reason.FAILING: _("All messages have failed for more than a day."),
}
