"""A snapshot is the index as it was: the same answers, also after further changes, and nothing of what is gone."""

import json
import os
import re
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.matcher.index import Analyser, OfferIndex, Weighting, snapshot
from services.matcher.index.requests import RequestIndex
from services.matcher.index.snapshot import SnapshotError

SAID = (
    "étalonnage tensiomètre tensiomètres sols salins capteur capteurs réseaux usine données santé énergie hydrogène "
    "pour la de des water sensors sensing networks hydrogen storage the of الطاقة والصِّناعة للماء الجامعة 5G TRL6 CO₂ "
    "métrologie métrologique microfluidique polymères biopolymères"
)
WORDS = SAID.split()
ASKED = (
    ("Étalonner des tensiomètres en sols salins", "Besoin"),
    ("hydrogen storage and sensing networks", ""),
    ("capteurs microfluidiques; biopolymère", "métrologie"),
    ("طاقة الماء", "labo 3"),
)


def text(random: Random, words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


def change(index: OfferIndex, random: Random, changes: int) -> None:
    """Put, replace, remove, name and group at random: the same random numbers, the same changes."""
    for _ in range(changes):
        member = f"m{random.randrange(20)}"
        document = f"d{random.randrange(80)}"
        kind = random.random()
        if kind < 0.7:
            index.put(document, member, text(random, random.randrange(30)), title=text(random, 3))
        elif kind < 0.85:
            index.remove(document)
        elif kind < 0.95:
            index.name(member, text(random, random.randrange(4)))
        else:
            index.group(member, random.choice(["north", "south", None]))


def filled(changes: int = 300, seed: int = 1) -> OfferIndex:
    index = OfferIndex(Analyser(), young=16)
    change(index, Random(seed), changes)
    return index


def answers(index: OfferIndex) -> list[Any]:
    """All that can be seen of an index, to the last digit."""
    seen: list[Any] = [len(index)]
    requests = RequestIndex(index)
    for asked, title in ASKED:
        request = index.request(asked, title=title)
        requests.put(asked, request)
        found = index.search(request, 50)
        seen += [found, index.search(request, 3, None, lambda group: group == "north")]
        seen += [index.explain(request, match) for match in found]
        seen += [index.score(request, f"m{number}") for number in range(20)]
    seen += [requests.facing(match.member, 0.1) for match in found]
    return seen


def files_of(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_an_index_opened_gives_the_same_answers_to_the_last_digit(tmp_path: Path) -> None:
    index = filled()
    answers(index)  # words were asked for before
    snapshot.save(index, tmp_path)
    opened = snapshot.open(tmp_path, Analyser())
    assert answers(opened) == answers(index)
    assert len(answers(opened)[1]) > 5


@pytest.mark.parametrize("seed", range(5))
def test_both_stay_the_same_through_further_changes(tmp_path: Path, seed: int) -> None:
    index = filled(seed=seed)
    snapshot.save(index, tmp_path)
    opened = snapshot.open(tmp_path, Analyser())
    for number in range(4):
        change(index, Random(number), 40)
        change(opened, Random(number), 40)
        assert answers(opened) == answers(index)
    snapshot.save(opened, tmp_path)
    assert answers(snapshot.open(tmp_path, Analyser())) == answers(index)


def test_an_index_that_was_never_saved_agrees(tmp_path: Path) -> None:
    index, other = filled(), filled()
    snapshot.save(index, tmp_path)
    assert answers(snapshot.open(tmp_path, Analyser())) == answers(other)


def test_an_empty_index(tmp_path: Path) -> None:
    snapshot.save(OfferIndex(Analyser()), tmp_path)
    opened = snapshot.open(tmp_path, Analyser())
    opened.put("d", "m", "étalonnage")
    assert [match.member for match in opened.search(opened.request("étalonnage"), 3)] == ["m"]


def told(index: OfferIndex, requests: RequestIndex, written: dict[str, tuple[str, str]]) -> list[Any]:
    """All that can be seen of open requests and who answers them."""
    seen: list[Any] = [len(requests), [requests.facing(f"m{number}", 0.3) for number in range(20)]]
    for key, (title, said) in sorted(written.items()):
        request = requests.request(key, title=title, text=said)
        found = index.search(request, 5)
        seen += [key, found, [index.explain(request, match) for match in found]]
        seen += [index.worth(request, match.member) for match in found]
        seen += [index.score(request, f"m{number}") for number in range(20)]
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_requests_come_back_as_they_were_read(tmp_path: Path, seed: int) -> None:
    index, random = filled(seed=seed), Random(seed)
    requests, written = RequestIndex(index), {}
    for number in range(60):
        key = f"r{random.randrange(40)}"
        if random.random() < 0.25:
            requests.remove(key)
            written.pop(key, None)
        else:
            title, said = text(random, 3), f"{text(random, random.randrange(1, 12))} propre{chr(97 + number % 26)}mot"
            requests.put(key, index.request(said, title=title))
            written[key] = title, said
    snapshot.take(index, requests=requests, notes=lambda: {"kept": "so"}).write(tmp_path)
    kept = snapshot.open_all(tmp_path, Analyser())
    assert told(kept.index, kept.requests, written) == told(index, requests, written)
    assert kept.notes == {"kept": "so"}
    # Through further changes, and through a snapshot of what was not read since the last one.
    second = snapshot.open_all(tmp_path, Analyser())
    snapshot.take(second.index, requests=second.requests).write(tmp_path)
    second = snapshot.open_all(tmp_path, Analyser())
    for one, its in ((index, requests), (kept.index, kept.requests), (second.index, second.requests)):
        change(one, Random(seed + 9), 60)
        its.remove("r7")
        its.put("new", one.request("tensiomètres en sols salins", title="capteur"))
    written |= {"new": ("capteur", "tensiomètres en sols salins")}
    written.pop("r7", None)
    expected = told(index, requests, written)
    assert told(kept.index, kept.requests, written) == expected
    assert told(second.index, second.requests, written) == expected


def test_a_request_withdrawn_is_gone_from_the_disk(tmp_path: Path) -> None:
    index = filled()
    requests = RequestIndex(index)
    requests.put("secret-request", index.request("xylographies", title="Phlogistique"))
    requests.put("other", index.request("kryptonite et tensiomètres"))
    snapshot.take(index, requests=requests).write(tmp_path)
    assert b"xylograph" in files_of(tmp_path)
    kept = snapshot.open_all(tmp_path, Analyser())
    for one, its in ((index, requests), (kept.index, kept.requests)):
        its.remove("secret-request")
        snapshot.take(one, requests=its).write(tmp_path)
        assert not any(word in files_of(tmp_path) for word in (b"xylograph", b"phlogist", b"secret-request"))
        assert b"krypton" in files_of(tmp_path)


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    snapshot.discard(folder)
    snapshot.take(filled()).write(folder)
    assert snapshot.exists(folder)
    snapshot.discard(folder)
    assert list(folder.iterdir()) == []
    assert "there is none" in refusal(folder)


def test_groups_come_back_as_they_were_said(tmp_path: Path) -> None:
    index = OfferIndex(Analyser())
    for member in "abc":
        index.put(member, member, "étalonnage de tensiomètres")
        index.group(member, ("cluster", member))
    index.remove("b")

    def members(index: OfferIndex) -> list[str]:
        found = index.search(index.request("tensiomètre"), 5, None, lambda group: group == ("cluster", "c"))
        return [match.member for match in found]

    snapshot.save(index, tmp_path, encode=lambda group: list(group) if isinstance(group, tuple) else None)
    assert members(snapshot.open(tmp_path, Analyser(), decode=tuple)) == members(index) == ["c"]


def test_what_is_put_again_as_it_was_is_not_read_again(tmp_path: Path) -> None:
    class Counting(Analyser):
        texts = 0

        def analyse(self, text: str, language: str | None = None) -> Any:
            self.texts += 1
            return super().analyse(text, language)

    index = OfferIndex(Analyser())
    index.put("d", "m", "tensiomètres", title="Étalonnage", language="fr")
    index.name("m", "Labo Salins")
    snapshot.save(index, tmp_path)
    analyser = Counting()
    opened = snapshot.open(tmp_path, analyser)
    opened.put("d", "m", "tensiomètres", title="Étalonnage", language="fr")
    opened.name("m", "Labo Salins")
    assert analyser.texts == 0
    opened.put("d", "m", "tensiomètres", title="Étalonnage", language="en")
    opened.name("m", "Labo Salin")
    assert analyser.texts > 0


def test_what_was_erased_is_gone_from_the_disk(tmp_path: Path) -> None:
    index = OfferIndex(Analyser())
    index.put("secret-document", "secret-member", "xylographie tensiomètres", title="Phlogistique")
    index.name("secret-member", "Zorglub Industries")
    index.group("secret-member", "secret-group")
    index.put("d2", "m2", "tensiomètres", title="Étalonnage")
    index.search(index.request("xylographies phlogistiques kryptonite"), 5)
    snapshot.save(index, tmp_path)
    gone = [b"xylograph", b"phlogist", b"zorglub", b"secret-member", b"secret-group", b"secret-document"]
    assert all(word in files_of(tmp_path) for word in gone)
    assert b"krypton" not in files_of(tmp_path)  # of a request, which is nobody's offer

    opened = snapshot.open(tmp_path, Analyser())
    for one in (index, opened):
        one.remove("secret-document")
        one.name("secret-member", "")
        snapshot.save(one, tmp_path)
        assert not any(word in files_of(tmp_path) for word in gone)
        assert b"tensiometr" in files_of(tmp_path)
        # Nor can its letters be put together again from the pieces of words.
        opened = snapshot.open(tmp_path, Analyser())
        assert int(opened.vocabulary.variants.known.used[1]) == int(
            index_of("tensiomètres", "Étalonnage").vocabulary.variants.known.used[1]
        )


def index_of(text: str, title: str) -> OfferIndex:
    index = OfferIndex(Analyser())
    index.put("d", "m", text, title=title)
    return index


def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    snapshot.save(filled(), folder)
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_nothing_in_it_is_a_pickle(tmp_path: Path) -> None:
    snapshot.save(filled(), tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".npy", ".json"}
    for path in tmp_path.rglob("*.npy"):
        assert b"'|O'" not in path.read_bytes()[:128]


def test_only_one_is_kept(tmp_path: Path) -> None:
    index = filled()
    for _ in range(3):
        snapshot.save(index, tmp_path)
    assert len(list(tmp_path.glob("data-*"))) == 1


def data_of(folder: Path) -> Path:
    [data] = folder.glob("data-*")
    return data


def refusal(folder: Path) -> str:
    """Why a folder is refused; fails if it is not."""
    with pytest.raises(SnapshotError) as caught:
        snapshot.open(folder, Analyser())
    return str(caught.value)


def test_no_snapshot_is_refused(tmp_path: Path) -> None:
    assert "there is none" in refusal(tmp_path)
    assert "there is none" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["offers_rows.npy", "texts_spans.npy", "words.json", "known_pool.npy", "owners.npy"])
def test_a_torn_file_is_refused(tmp_path: Path, name: str) -> None:
    snapshot.save(filled(), tmp_path)
    path = data_of(tmp_path) / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    assert f"{name} has {len(whole) - 8} bytes, not {len(whole)}" in refusal(tmp_path)
    path.write_bytes(whole[:-8] + bytes(byte ^ 1 for byte in whole[-8:]))
    assert f"{name} is damaged" in refusal(tmp_path)
    path.unlink()
    assert re.search(f"missing: .*{name}", refusal(tmp_path))
    path.write_bytes(whole)
    assert len(snapshot.open(tmp_path, Analyser())) == len(filled())


def test_each_file_is_needed(tmp_path: Path) -> None:
    snapshot.save(filled(), tmp_path)
    for path in sorted(data_of(tmp_path).iterdir()):
        whole = path.read_bytes()
        path.unlink()
        assert re.search(f"missing: .*{path.name}", refusal(tmp_path))
        path.write_bytes(whole)
    assert len(snapshot.open(tmp_path, Analyser())) == len(filled())


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("format", "another", "another program"),
        ("layout", 99, "layout 99, this is 2"),
        ("analyser", "0", "analyser 0, this is"),
        ("engine", "tfidf-0", "engine tfidf-0, this is"),
        ("weighting", Weighting(k1=2.0)._asdict(), "weighting"),
        ("documents", 3, "offers, not 3"),
        ("data", "elsewhere", "missing"),
        ("files", {}, "does not name"),
    ],
)
def test_another_version_is_refused(tmp_path: Path, field: str, value: object, why: str) -> None:
    snapshot.save(filled(), tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {field: value}))
    assert why in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format":'])
def test_a_torn_manifest_is_refused(tmp_path: Path, content: str) -> None:
    snapshot.save(filled(), tmp_path)
    (tmp_path / "manifest.json").write_text(content)
    assert re.search("no JSON|another program", refusal(tmp_path))


def test_a_manifest_without_a_field_is_refused(tmp_path: Path) -> None:
    snapshot.save(filled(), tmp_path)
    manifest = tmp_path / "manifest.json"
    whole = json.loads(manifest.read_text())
    for field in whole:
        manifest.write_text(json.dumps({key: value for key, value in whole.items() if key != field}))
        assert re.search("made with|another program|not readable|offers, not", refusal(tmp_path)), field
    manifest.write_text(json.dumps(whole))
    assert len(snapshot.open(tmp_path, Analyser())) == len(filled())


def test_other_constants_than_those_wanted_are_refused(tmp_path: Path) -> None:
    snapshot.save(filled(), tmp_path)
    with pytest.raises(SnapshotError, match="weighting"):
        snapshot.open(tmp_path, Analyser(), weighting=Weighting(b=0.1))


class Crash(BaseException):
    """The process ends."""


def test_a_crash_at_any_moment_leaves_the_one_before_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = filled(), filled(seed=2)
    image = snapshot.take(after)
    folder = tmp_path / "snapshot"
    snapshot.save(before, folder)
    old, new = answers(snapshot.open(folder, Analyser())), answers(after)
    assert old != new
    sync, seen = os.fsync, []

    def crash_at(moment: int) -> bool:
        calls = 0

        def fsync(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls > moment:
                raise Crash
            sync(descriptor)

        # A crash leaves everything where it is: what the process would tidy up stays too.
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            patched.setattr(shutil, "rmtree", lambda *_, **__: None)
            try:
                image.write(folder)
            except Crash:
                return True
        return False

    moment = 0
    while crash_at(moment):
        seen.append(answers(snapshot.open(folder, Analyser())))
        moment += 1
    assert moment > 20
    assert all(each in (old, new) for each in seen)
    assert seen[0] == old
    image.write(folder)
    assert len(list(folder.glob("data-*"))) == 1
    assert answers(snapshot.open(folder, Analyser())) == new


def test_a_process_keeps_what_it_opened_while_the_next_is_written(tmp_path: Path) -> None:
    index = filled()
    snapshot.save(index, tmp_path)
    opened = snapshot.open(tmp_path, Analyser())
    snapshot.save(filled(seed=2), tmp_path)
    assert answers(opened) == answers(index)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in data_of(folder).iterdir()}


@pytest.mark.parametrize("opened", [False, True])
def test_an_image_shows_the_moment_when_it_was_taken(tmp_path: Path, opened: bool) -> None:
    index = filled()
    requests, names = RequestIndex(index), {f"m{number}": "Institut des sols" for number in range(5)}
    for member, name in names.items():
        index.name(member, name)
    for asked, title in ASKED:
        requests.put(asked, index.request(asked, title=title))
    if opened:
        snapshot.take(index, requests=requests).write(tmp_path / "first")
        kept = snapshot.open_all(tmp_path / "first", Analyser())
        index, requests = kept.index, kept.requests
        index.search(index.request("étalonner"), 3)  # some of what it holds is read by now
    snapshot.take(index, requests=requests).write(tmp_path / "then")
    image = snapshot.take(index, requests=requests)

    index.name("m0", "Laboratoire de tensiométrie")
    index.name("m1", "")
    index.put("d0", "m2", "étalonnages, tensiométrique, salinisation", title="Métrologiques")
    index.put("new", "new", "biopolymérisation", title="Hydrogènes")
    index.name("new", "Nouvelle venue")
    index.group("m3", "elsewhere")
    for key in index.offers_of("m4"):
        index.remove(key)
    requests.remove(ASKED[0][0])
    requests.put(ASKED[1][0], index.request("hydrogènes et microfluidiques"))
    requests.put("new", index.request("capteur"))
    requests.remove(ASKED[2][0])
    change(index, Random(7), 200)
    image.write(tmp_path / "later")
    assert contents(tmp_path / "later") == contents(tmp_path / "then")


def test_long_lists_are_kept_as_they_are(tmp_path: Path) -> None:
    index = OfferIndex(Analyser())
    words = [f"x{number}" for number in range(25_000)]
    index.put("d", "m", " ".join(words))
    notes = {"askers": {f"need:{word}": "é" for word in words}, "few": {}, "none": None}
    snapshot.take(index, notes=lambda: notes).write(tmp_path)
    kept = snapshot.open_all(tmp_path, Analyser())
    assert kept.notes == notes
    assert kept.index.vocabulary.words == index.vocabulary.words
    assert len(set(kept.index.vocabulary.words)) == len(words)
