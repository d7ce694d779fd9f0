"""What people do during a run, from a seed: the same for the undisturbed run and for every fault.

Laboratories by theme, in cities; and companies, each of which posts a need that the laboratories of its theme answer.
Some companies then do more: they change their name twice, ask for something else, have the need erased, or themselves.

Scores depend on all offers that are known at their moment. So nobody with an offer comes or goes during a run, and what
is suggested is the same to the last digit, whatever happens first: who has himself erased is not admitted yet.
"""

import random
from dataclasses import dataclass, field
from typing import Any

CLUSTER = "faults"
LABS_PER_THEME = 3
COMPANIES_PER_THEME = 5  # a theme's words are common to so many needs
CITIES = ("city-a", "city-b", "city-c")

# Of so many companies one does more than post a need.
ERASED_EVERY, NEED_ERASED_EVERY, RENAMED_EVERY, RETHOUGHT_EVERY = 20, 10, 7, 9

WEBHOOK_SECRET = "whsec_" + "bWFpbGxhZ2UtZmF1bHRzLXNlY3JldC0wMTIzNDU2Nzg5"

GUEST = "guest"
"""An ambassador who is erased half-way."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Act:
    """One request to the API.

    Attributes:
        at: when, as a share of the whole load.
        path: of the entity, as `needs/need-1`.
        body: what it is to be; none: erased.
    """

    at: float
    path: str
    body: Row | None


@dataclass(frozen=True)
class Story:
    """The members that are there before, and what is done then: each list of acts is one company's, in order."""

    before: list[Act]
    acts: list[list[Act]]
    marks: dict[str, str]
    """A word that stands in all texts of an erased entity and nowhere else, by the entity's path."""
    cities: dict[str, str]
    """The city of each member."""


@dataclass
class _Author:
    seed: int
    companies: int
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.themes = max(2, self.companies // COMPANIES_PER_THEME)

    def words(self, theme: int, count: int) -> str:
        """`count` words of a theme, no two alike in stem with another theme's."""
        source = random.Random(theme)
        pairs = [(a, b) for a in "bdfgklmnprtvz" for b in "aiou"]
        vocabulary = ["".join("".join(source.choice(pairs)) for _ in range(4)) + "k" for _ in range(24)]
        return " ".join(self.chance.sample(vocabulary, count))

    def laboratory(self, theme: int, number: int) -> Act:
        assets = [{"asset_id": f"a{n}", "title": self.words(theme, 3), "text": self.words(theme, 12)} for n in range(2)]
        body = _member(f"Lab {theme} {number}", "laboratory", self.chance.choice(CITIES), assets=assets)
        return Act(0, f"members/lab-{theme}-{number}", body)

    def company(self, number: int) -> tuple[Act, list[Act], dict[str, str]]:
        """One company: as it is before, its acts, and marks."""
        member, need = f"members/company-{number}", f"needs/need-{number}"
        city, theme = self.chance.choice(CITIES), self.chance.randrange(self.themes)
        # Three words, whatever its name becomes: how long offers are on average weighs, too.
        name = f"Company {number}"
        first, *later = sorted(self.chance.random() for _ in range(3))
        mark = f"quzwex{_letters(number)}"

        def asks(theme: int, mark: str = "") -> Row:
            return self.need(f"company-{number}", theme, mark)

        if number % ERASED_EVERY == 0:
            before = {**_member(f"{name} {mark}", "company", city, summary=mark), "admission": "candidate"}
            acts = [Act(first, need, asks(theme, mark)), Act(later[0], member, None)]
            return Act(0, member, before), acts, {member: mark}
        before = _member(f"{name} Alpha", "company", city)
        if number % NEED_ERASED_EVERY == 1:
            acts = [Act(first, need, asks(theme, mark)), Act(later[0], need, None)]
            return Act(0, member, before), acts, {need: mark}
        acts = [Act(first, need, asks(theme))]
        if number % RENAMED_EVERY == 2:
            names = zip(later, ("Bravo", "Charlie"), strict=True)
            acts += [Act(at, member, _member(f"{name} {third}", "company", city)) for at, third in names]
        elif number % RETHOUGHT_EVERY == 3:
            acts.append(Act(later[0], need, asks((theme + 1) % self.themes)))
        return Act(0, member, before), acts, {}

    def need(self, member: str, theme: int, mark: str) -> Row:
        """A need on a theme; `mark` stands in title and text."""
        return {
            "member_id": member,
            "title": f"{self.words(theme, 3)} {mark}".strip(),
            "text": f"{self.words(theme, 8)} {mark}".strip(),
            "kinds_sought": ["laboratory"],
        }

    def story(self) -> Story:
        cities = [Act(0, f"members/{city}", _member(city.title(), "innovation_city", city)) for city in CITIES]
        labs = [self.laboratory(theme, n) for theme in range(self.themes) for n in range(LABS_PER_THEME)]
        companies = [self.company(number) for number in range(self.companies)]
        marks = {path: mark for _, _, marked in companies for path, mark in marked.items()}
        before = [*cities, *labs, *(company for company, _, _ in companies)]
        return Story(
            before=before,
            acts=[*(acts for _, acts, _ in companies), [Act(0.5, f"ambassadors/{GUEST}", None)]],
            marks={**marks, f"ambassadors/{GUEST}": "quzwexguest"},
            cities={act.path.removeprefix("members/"): act.body["city"] for act in before if act.body},
        )


def story(seed: int, companies: int) -> Story:
    """Return the story of so many companies: always the same one for the same seed."""
    return _Author(seed, companies).story()


def people(hooks: dict[str, str]) -> list[Act]:
    """Return the ambassadors: one for each city, reached by webhook (`hooks`: address by ambassador), mail or both; the
    guest; the desk; and whoever else `hooks` names, at the first city."""
    a, b, c = CITIES
    rows: dict[str, Row] = {
        "a": {"city": a, "email": "a@example.org"},
        "b": {"city": b},
        "c": {"city": c, "email": "c@example.org"},
        GUEST: {"city": a, "email": "quzwexguest@example.org", "name": "Quzwexguest"},
        "desk": {"role": "desk", "email": "desk@example.org"},
    }
    for ambassador, url in hooks.items():
        rows.setdefault(ambassador, {"city": a})["webhook"] = {"url": url, "secret": WEBHOOK_SECRET}
    return [Act(0, f"ambassadors/{key}", {"name": key.title(), **row}) for key, row in rows.items()]


def _member(name: str, kind: str, city: str, **more: Any) -> Row:
    return {"name": name, "kind": kind, "city": city, "admission": "admitted", **more}


def _letters(number: int) -> str:
    """A number as five letters."""
    return "".join("bcdfghjklm"[int(digit)] for digit in f"{number:05d}")
