"""What was said of suggestions, against the plainest account of it: each act looked at, each member scored."""

from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest

from schemas.feedback import NotRelevantReason
from schemas.members import MemberKind
from services.matcher.domain.arrivals import bring, eligibility
from services.matcher.domain.decisions import Decisions, Saying, suggestion_id
from services.matcher.domain.directory import Directory
from services.matcher.domain.holding import Holding
from services.matcher.domain.pairing import LOOKED_AT, Bar, Eligibility, Pair, Pairing, carriers
from services.matcher.domain.requests import Ask
from services.matcher.domain.suggestion import Scribe
from services.matcher.index import Analyser, OfferIndex
from tests.unit.matcher.actors import NOW, asset, member, need

R = NotRelevantReason
WORDS = [
    *("capteurs", "irrigation", "tensiomètres", "agrumes", "salinité", "drainage", "pompage", "compost"),
    *("semences", "serres", "ruches", "levures", "membranes", "turbines", "batteries", "moteurs"),
    *("drones", "caméras", "textiles", "teintures", "argiles", "ciments", "poissons", "algues"),
]
BAR = 0.1
ASKERS = ("verger", "serre")
LABS = tuple(f"labo-{number}" for number in range(60))
EVERYBODY = Eligibility(lambda _ask, _traits: True, lambda _ask, _member: True)
DAYS = {R.NOT_AVAILABLE: 30, R.WRONG_TOPIC: 180, R.ALREADY_IN_TOUCH: 180}


@pytest.fixture(scope="module")
def world() -> tuple[Directory, Pairing]:
    """Two who ask twice each, and laboratories that answer all of it more or less."""
    directory, chance = Directory(), Random(7)
    for asker in ASKERS:
        directory.publish_member(member(asker, MemberKind.COMPANY))
        for number in range(2):
            title = " ".join(chance.sample(WORDS, 12))
            directory.publish_need(need(f"{asker}-{number}", asker, title))
    for lab in LABS:
        directory.publish_member(member(lab, assets=[asset("a", " ".join(chance.sample(WORDS, 4)))]))
    pairing = Pairing(index=OfferIndex(Analyser()), bar=Bar(BAR, 5, 3), holding=Holding(frozenset({0})))
    bring(sorted(directory.owners()), directory, pairing, NOW)
    return directory, pairing


def acts(chance: Random, pairing: Pairing) -> list[Saying]:
    """What may have been said, of what may have been told, some of it long ago."""
    said, needs = [], [ask for key, ask in sorted(pairing.asks.items()) if key.startswith("need:")]
    best = {ask.key: [pair.member for pair in pairing.best(ask, EVERYBODY)] for ask in needs}
    for _ in range(chance.randrange(60)):
        ask = chance.choice(needs)
        lab = chance.choice([*best[ask.key], f"atlas/{chance.choice(LABS)}"])
        if (pair := pairing.pair(ask, lab)) is not None:
            why = pairing.index.explain(pairing.request(ask), pair.match)
            said.append(
                Saying(
                    id=str(uuid4()),
                    suggestion=suggestion_id(ask.lineage, lab),
                    reason=chance.choice(sorted(DAYS)),
                    cluster=chance.choice(["atlas", "sahara"]),
                    asker=ask.owner,
                    member=lab,
                    at=NOW - timedelta(days=chance.randrange(240), microseconds=chance.randrange(3)),
                    carriers=frozenset(carriers(why)),
                )
            )
    return said


def slow_best(ask: Ask, directory: Directory, pairing: Pairing, said: list[Saying]) -> list[tuple[str, float]]:
    """The best members for a request, by what docs/matching.md says."""
    weighing = [one for one in said if one.at + timedelta(days=DAYS[one.reason]) > NOW]
    scores = []
    for key in sorted(directory.members):
        pair = pairing.pair(ask, key)
        known = [
            one
            for one in weighing
            if one.reason is R.ALREADY_IN_TOUCH
            and one.cluster == ask.cluster
            and {one.asker, one.member} == {ask.owner, key}
        ]
        if pair is None or known or directory.members[key].kind is not MemberKind.LABORATORY:
            continue
        score = pair.match.score
        about = [one for one in weighing if one.member == key and one.cluster == ask.cluster]
        off = [one for one in about if one.reason is R.WRONG_TOPIC and one.asker == ask.owner]
        words = set(carriers(pairing.index.explain(pairing.request(ask), pair.match)))
        if any(one.suggestion == suggestion_id(ask.lineage, key) for one in off):
            score *= 0.5
        elif any(len(one.carriers & words) >= 2 for one in off):
            score *= 0.8
        away = sum(one.reason is R.NOT_AVAILABLE for one in about)
        score *= max(0.4, 0.8**away)
        scores.append((key, score, pair))
    scores.sort(key=lambda each: (-each[1], each[0]))
    worth = [
        (key, score)
        for key, score, pair in scores[: LOOKED_AT * 5]
        if score >= BAR and pairing.explain(Pair(pair.ask, key, pair.match)) is not None
    ]
    return worth[:5]


@pytest.mark.parametrize("seed", range(8))
def test_the_best_are_those_of_the_plain_account(world: tuple[Directory, Pairing], seed: int) -> None:
    directory, pairing = world
    chance = Random(seed)
    said = acts(chance, pairing)
    directory.decisions = Decisions()
    for one in chance.sample(said, len(said)) + said[:3]:  # in any order, and more than once
        directory.decisions.sayings.put(one)
    eligible, scribe = eligibility(directory, NOW), Scribe(directory, pairing, NOW)
    for key in sorted(pairing.asks):
        ask = pairing.asks[key]
        if not key.startswith("need:"):
            continue
        best = pairing.best(ask, eligible)
        slow = slow_best(ask, directory, pairing, said)
        assert len(slow) == 5
        assert [pair.member for pair in best] == [member for member, _ in slow]
        assert [pair.score for pair in best] == pytest.approx([score for _, score in slow])
        for pair in best:
            told = scribe.write(pair)
            assert told is not None
            assert told.made is not None
            assert sum(term.share for term in told.made.evidence.terms) == pytest.approx(pair.score, abs=1e-9)
            assert told.made.score == pair.score


def test_those_whom_nothing_weighs_on_come_before_many_who_are_not_available(world: tuple[Directory, Pairing]) -> None:
    directory, pairing = world
    ask, directory.decisions = pairing.asks["need:atlas/verger-0"], Decisions()
    pairs = [pair for lab in LABS if (pair := pairing.pair(ask, f"atlas/{lab}")) is not None]
    best = sorted(pairs, key=lambda pair: -pair.score)[: LOOKED_AT * 5]
    said = [
        Saying(str(uuid4()), "another", R.NOT_AVAILABLE, "atlas", "atlas/serre", pair.member, NOW)
        for pair in best
        for _ in range(6)
    ]
    for one in said:
        directory.decisions.sayings.put(one)
    found = pairing.best(ask, eligibility(directory, NOW))
    slow = slow_best(ask, directory, pairing, said)
    assert [pair.member for pair in found] == [member for member, _ in slow]
    assert [pair.score for pair in found] == pytest.approx([score for _, score in slow])
    assert {pair.member for pair in found} - {pair.member for pair in best}
    often = pairing.pair(ask, best[0].member, eligibility(directory, NOW).weighing)
    assert often is not None
    assert (often.factor, often.adjustments[0].count) == (0.4, 6)


def test_nothing_was_said_of_those_whom_it_does_not_concern(world: tuple[Directory, Pairing]) -> None:
    directory, pairing = world
    directory.decisions = Decisions()
    weighing = eligibility(directory, NOW).weighing
    assert {weighing.concerned(ask) for ask in pairing.asks.values()} == {0}
