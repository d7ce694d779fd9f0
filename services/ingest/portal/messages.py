"""Words of the portal for codes and refusals. `_` marks a message for the catalogues; it is translated where shown."""

from typing import Final

from schemas.members import AssetKind
from schemas.previews import AdviceCode


def _(message: str) -> str:
    return message


ASSETS: Final = {
    AssetKind.COMPETENCE: _("Competence"),
    AssetKind.PROJECT: _("Project"),
    AssetKind.PRODUCT: _("Product"),
    AssetKind.SERVICE: _("Service"),
    AssetKind.EQUIPMENT: _("Equipment"),
    AssetKind.FACILITY: _("Facility"),
    AssetKind.HOSTING: _("Place to host"),
    AssetKind.FUND: _("Fund"),
}

_TEXT: Final = _(
    "Please write a sentence or two, at most 20,000 characters, without addresses or telephone numbers of people: they "
    "are shown once both sides have agreed."
)

_NO_DAY: Final = _("Please choose a day to come.")

WRONG: Final = {
    "title": _("Please write a title, in at most 300 characters, without addresses or telephone numbers of people."),
    "name": _("Please write the name, in at most 300 characters."),
    "text": _TEXT,
    "summary": _TEXT,
    "deadline": _NO_DAY,
    "until": _NO_DAY,
    "country": _("Please write the two capital letters of the country, as MA."),
    "countries": _("Please write the two letters of each country, as MA, FR."),
    "language": _("Please choose one of them."),
    "languages": _("Please write the codes of the languages, as fr, ar."),
    "kind": _("Please choose one of them."),
    "kinds_sought": _("Please choose among these."),
    "direction": _("Please choose one of the two."),
    "stage": _("Please choose one of them."),
    "locality": _("Please shorten it to 120 characters."),
    "city": _("Please choose one of the innovation cities."),
    "interests": _("Please write at most 300 characters a line."),
}

ADVICE: Final = {
    AdviceCode.FEW_WORDS: _(
        "Few of these words tell something that others use too. Name the materials, methods, devices and uses: five "
        "such words or more help."
    ),
    AdviceCode.NOTHING_SHARED: _("Nobody whom it may face uses any of these words. Say it in other words too."),
    AdviceCode.BELOW_BAR: _("Nobody is near enough to be suggested yet. Say more precisely what you are looking for."),
    AdviceCode.LANGUAGE_UNCLEAR: _("The language is not recognised. Write sentences in French, Arabic or English."),
    AdviceCode.LANGUAGE_NOT_READ: _("Texts are compared in French, Arabic and English alone."),
    AdviceCode.DEADLINE_PAST: _("The deadline has passed."),
    AdviceCode.DEADLINE_NEAR: _("The deadline is very near: an introduction takes some days."),
    AdviceCode.KINDS_ABSENT: _("There is no member of these kinds yet: %(kinds)s."),
    AdviceCode.NOBODY_REACHED: _("Countries, languages or kinds leave nobody. Ask for less."),
    AdviceCode.NOT_ADMITTED: _("Your cluster has not admitted you yet. Until then nobody is suggested."),
    AdviceCode.WITHDRAWN: _("This need is withdrawn."),
    AdviceCode.OFFER: _("An offer is compared with what others ask for once it is posted."),
}

DIRECTIONS: Final = {"request": _("We are looking for something"), "offer": _("We offer something, for a time")}

LANGUAGES: Final = {"fr": _("French"), "ar": _("Arabic"), "en": _("English")}

SAID: Final = {
    "posted": _("Your need is posted. Whom it fits is suggested to the ambassador of your city."),
    "changed": _("Your need is changed."),
    "withdrawn": _("Your need is withdrawn. It is suggested to nobody any more."),
    "renewed": _("The deadline is renewed."),
    "described": _("Your description is kept."),
    "removed": _("It is removed."),
}
