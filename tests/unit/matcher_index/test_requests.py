"""Open requests: a member finds those that it may answer, whichever of them came first."""

import random

import pytest

from services.matcher.index import Analyser, OfferIndex, RequestIndex

WORDS = [
    f"{start}{end}" for start in ("bal", "cor", "dim", "fus", "gor", "hal") for end in ("ane", "oide", "urge", "ite")
]


def text(rng: random.Random, subject: int) -> str:
    return " ".join([f"{WORDS[subject % len(WORDS)]}{chr(97 + subject % 26)}ment", *rng.sample(WORDS, 6)])


@pytest.mark.parametrize("bar", [0.2, 0.4])
def test_a_member_faces_every_request_that_it_answers_above_the_bar(bar: float) -> None:
    rng = random.Random(7)
    index = OfferIndex(Analyser())
    requests = RequestIndex(index)
    asked = {f"r{number}": index.request(text(rng, number), title=WORDS[number % len(WORDS)]) for number in range(150)}
    for key, request in asked.items():  # none of their words is known yet
        requests.put(key, request)
    for number in range(150):
        member = f"m{number % 40}"
        index.name(member, f"Institut {WORDS[number % 40 % len(WORDS)].title()}")
        index.put(f"o{number}", member, text(rng, 149 - number))
        answered = {key for key, request in asked.items() if (m := index.score(request, member)) and m.score >= bar}
        assert answered - set(requests.facing(member, bar)) == set()


@pytest.mark.parametrize("seed", range(3))
def test_a_long_request_is_found_among_many_short_ones(seed: int) -> None:
    rng = random.Random(seed)
    index = OfferIndex(Analyser())
    requests = RequestIndex(index)
    for number in range(60):
        often = " ".join([WORDS[number % len(WORDS)]] * 6)
        index.put(f"o{number}", f"m{number % 30}", f"{often} {' '.join(rng.sample(WORDS, 3))}", title=rng.choice(WORDS))
    asked = {f"short{number}": index.request(rng.choice(WORDS)) for number in range(300)}
    for number in range(30):
        unknown = [f"{chr(97 + n % 26)}{chr(97 + n // 26)}zyxu" for n in range(rng.randint(30, 100))]
        asked[f"long{number}"] = index.request(" ".join(rng.sample(WORDS, 14) + unknown))
    for key, request in asked.items():
        requests.put(key, request)
    for member in (f"m{number}" for number in range(30)):
        answered = {key for key, request in asked.items() if (m := index.score(request, member)) and m.score >= 0.4}
        assert answered - set(requests.facing(member, 0.4)) == set()


def test_a_request_put_before_its_words_were_known_is_found_by_the_first_that_answers_it() -> None:
    index = OfferIndex(Analyser())
    requests = RequestIndex(index)
    for number in range(200):
        requests.put(f"r{number}", index.request(f"étalonnage{chr(97 + number % 26)} de tensiomètre{number}bis"))
    requests.put("wanted", index.request("Tensiomètres pour sols salins"))
    index.put("o", "m", "Nous étalonnons les tensiomètres des sols salins")
    assert "wanted" in requests.facing("m", 0.4)


def test_a_request_taken_back_is_faced_no_more() -> None:
    index = OfferIndex(Analyser())
    requests = RequestIndex(index)
    index.put("o", "m", "Tensiomètres pour sols salins")
    requests.put("r", index.request("Tensiomètres pour sols salins"))
    assert requests.facing("m", 0.3) == ["r"]
    requests.remove("r")
    assert (requests.facing("m", 0.3), len(requests)) == ([], 0)
