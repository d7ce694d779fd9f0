"""A folder of organisations, needs and judgements, as profiles of the contract.

docs.jsonl           {id, text, lang, kind, extra}: organisations; `extra` may hold name or title, category, city, ...
queries.jsonl        {id, text, lang}: needs
qrels.tsv            query, doc, grade, with a header line: who answers what; a replay needs it
past_projects.jsonl  {id, text, docs}: what organisations have done, one asset each; may be absent

Each file may be gzipped, with `.gz` after its name.
"""

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pycountry

from schemas.base import SLUG_PATTERN
from schemas.members import Admission, Asset, AssetKind, MemberKind, MemberProfile
from schemas.needs import NeedProfile
from services.ingest.addresses import addresses_in

Row = Mapping[str, Any]

TITLE_CHARACTERS: Final = 300
TEXT_CHARACTERS: Final = 20_000
"""What the contract lets a title and a text hold."""

LOCALITY_CHARACTERS: Final = 120

ASKS: Final = MemberKind.STARTUP
"""Kind of the members that post the needs. No organisation of a folder becomes one, so that askers face others only."""

# The first that matches decides. Words of the public sets, French and English, and what is close to them.
_KINDS: Final = (
    (re.compile(r"entrepris|compan|soci[ée]t[ée]|\bgie\b|\bindustr|\b(sa|sas|sarl|ltd|gmbh|srl|spa|bv)\b"), "company"),
    (re.compile(r"universi|[ée]cole|\bens\b|\biep\b|\bcomue\b|enseignement|school|colleg|facult"), "university"),
    (
        re.compile(r"laborato|\bepst\b|\bepic\b|h[ôo]pita|hospital|\bsant[ée]\b|institu|recherche|research"),
        "laboratory",
    ),
    (re.compile(r"associat|fondation|foundation|minist|collectivit|\bgip\b|council|agenc"), "association"),
)
_SENTENCE_END: Final = re.compile(r"[.!?؟…]\s")


class DataError(Exception):
    """A folder that is not in the expected form; the message says what is wrong where."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """An organisation of the folder."""

    doc: str
    member_id: str
    profile: MemberProfile


@dataclass(frozen=True, kw_only=True)
class Need:
    """A need of the folder; each has an asking member of its own."""

    query: str
    need_id: str
    asker: str
    profile: NeedProfile


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What a folder holds. `relevant`: query → doc → grade above 0, of the queries taken."""

    name: str
    members: Sequence[Member]
    needs: Sequence[Need]
    relevant: Mapping[str, Mapping[str, float]]


def load(
    folder: Path,
    *,
    limit: int | None = None,
    cities: Sequence[str] = (),
    judgements_needed: bool = True,
    publishable: bool = False,
) -> Folder:
    """Read a folder.

    Args:
        limit: take so many queries, the first ones.
        cities: ids of the innovation cities where its organisations sit, in turns.
        publishable: leave out how to reach somebody, which ingest refuses in a text.
        judgements_needed: whether a folder without qrels is an error; otherwise nothing is known to be relevant.

    Raises:
        DataError: a file is missing or not in the expected form.
    """
    clean = _without_contacts if publishable else str
    docs, projects = _rows_of(folder, "docs", clean), _rows_of(folder, "past_projects", clean, needed=False)
    try:
        done = _projects_by_doc(projects)
        members = [
            member_of(row, done.get(str(row["id"]), ()), city=cities[number % len(cities)] if cities else None)
            for number, row in enumerate(docs)
        ]
        kinds = tuple(sorted({member.profile.kind for member in members}))
        needs = [need_of(row, kinds) for row in _rows_of(folder, "queries", clean)[:limit]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: not in the expected form ({type(error).__name__}: {error})") from None
    taken = {need.query for need in needs}
    judged = read_qrels(folder) if judgements_needed or _find(folder, "qrels.tsv") else {}
    relevant = {query: docs for query, docs in judged.items() if query in taken}
    return Folder(name=folder.name, members=members, needs=needs, relevant=relevant)


def _rows_of(folder: Path, name: str, clean: Callable[[str], str], *, needed: bool = True) -> list[Row]:
    rows = read_rows(folder, name, needed=needed)
    return [{**row, "text": clean(row["text"])} for row in rows]


def _without_contacts(text: str) -> str:
    while (found := next(addresses_in(text), None)) is not None:
        text = text[: found.start] + text[found.end :]
    return text


def read_rows(folder: Path, name: str, *, needed: bool = True) -> list[Row]:
    """Return the rows of `name`.jsonl as they are written; none if the file is not there and not needed.

    Raises:
        DataError: the file is missing, holds what is not a JSON object, or one id twice.
    """
    if not needed and _find(folder, f"{name}.jsonl") is None:
        return []
    rows = list(_rows(folder, name))
    ids = Counter(str(row.get("id")) for row in rows)
    repeated = next((one for one, count in ids.items() if count > 1), None)
    if repeated is not None:
        raise DataError(f"{folder}/{name}.jsonl: the id {repeated} is there more than once")
    return rows


def member_of(row: Row, projects: Sequence[Row], *, city: str | None = None) -> Member:
    """Return the member that a row of docs is, with an asset for each of its past projects.

    Without past projects its text is its summary, or, too long for one, as many assets as it takes.
    """
    doc, extra = str(row["id"]), row.get("extra") or {}
    name = name_of(row)
    text = _without_prefix(str(row["text"]), str(extra.get("name") or ""))
    assets = [_project_asset(project) for project in projects]
    if not assets and len(text) > TEXT_CHARACTERS:
        parts = _parts(text)
        assets = [
            Asset(asset_id=f"part-{n}", title=f"{name[:280]} ({n}/{len(parts)})", text=part, language=row.get("lang"))
            for n, part in enumerate(parts, 1)
        ]
    profile = MemberProfile(
        name=name,
        kind=kind_of(str(extra.get("category") or ""), name, str(row.get("kind") or "")),
        admission=Admission.ADMITTED,
        summary="" if assets else text,
        city=city,
        locality=str(extra.get("city") or "")[:LOCALITY_CHARACTERS],
        assets=tuple(assets),
        **_country(extra.get("country")),
    )
    return Member(doc=doc, member_id=slug_of(doc), profile=profile)


def need_of(row: Row, kinds: Sequence[MemberKind]) -> Need:
    """Return the need that a row of queries is; it seeks members of `kinds`."""
    query = str(row["id"])
    title, text = title_and_rest(str(row["text"]))
    profile = NeedProfile(
        member_id=slug_of(f"asks-{query}"),
        title=title,
        text=text[:TEXT_CHARACTERS],
        language=row.get("lang"),
        kinds_sought=tuple(kinds),
    )
    return Need(query=query, need_id=slug_of(query), asker=profile.member_id, profile=profile)


def asker_of(need: Need) -> MemberProfile:
    """Return the member whose need it is: a name and nothing to offer, so that it is in nobody's way."""
    return MemberProfile(name=need.asker, kind=ASKS, admission=Admission.ADMITTED)


def name_of(row: Row) -> str:
    """Return the name of an organisation, its acronyms in brackets; where it has none, how its text begins."""
    extra = row.get("extra") or {}
    name = " ".join(str(extra.get("name") or extra.get("title") or "").split())
    if not name:
        return title_and_rest(str(row["text"]))[0]
    acronyms = [str(one) for one in extra.get("sigle") or () if str(one) not in name]
    full = f"{name} ({', '.join(acronyms)})" if acronyms else name
    return (full if len(full) <= TITLE_CHARACTERS else name)[:TITLE_CHARACTERS]


def kind_of(category: str, name: str, kind: str) -> MemberKind:
    """Return the plausible kind of an organisation: its category says it best, then its kind, then its name."""
    for words in (category, kind, name):
        for pattern, found in _KINDS:
            if pattern.search(words.casefold()):
                return MemberKind(found)
    return MemberKind.ASSOCIATION


def title_and_rest(text: str) -> tuple[str, str]:
    """Split a text into its first sentence, or as many words as a title holds, and all the rest."""
    text = text.strip()
    end = _SENTENCE_END.search(text)
    if end is not None and end.start() < TITLE_CHARACTERS:
        return text[: end.start() + 1], text[end.end() :].strip()
    if len(text) <= TITLE_CHARACTERS:
        return text or "?", ""
    cut = _last_break(text, TITLE_CHARACTERS)
    return text[:cut].strip(), text[cut:].strip()


def slug_of(raw: str) -> str:
    """Return an identifier that the contract takes: `raw` itself if it is one, else one derived from it."""
    return raw if re.match(SLUG_PATTERN, raw) else f"h{hashlib.sha256(raw.encode()).hexdigest()[:32]}"


def read_qrels(folder: Path) -> dict[str, dict[str, float]]:
    """Return query → doc → grade, of grades above 0.

    Raises:
        DataError: the file is missing or not in the expected form.
    """
    relevant: dict[str, dict[str, float]] = {}
    for number, line in enumerate(_lines(folder, "qrels.tsv")):
        if number == 0 or not line:
            continue
        try:
            query, doc, grade = line.split("\t")
            if float(grade) > 0:
                relevant.setdefault(query, {})[doc] = float(grade)
        except ValueError:
            raise DataError(f"{folder}/qrels.tsv, line {number + 1}: expected query, doc, grade") from None
    return relevant


def _projects_by_doc(projects: Sequence[Row]) -> dict[str, list[Row]]:
    done: dict[str, list[Row]] = {}
    for project in projects:
        for doc in project["docs"]:
            done.setdefault(str(doc), []).append(project)
    return done


def _project_asset(project: Row) -> Asset:
    title, text = title_and_rest(str(project["text"]))
    return Asset(asset_id=slug_of(str(project["id"])), kind=AssetKind.PROJECT, title=title, text=text[:TEXT_CHARACTERS])


def _country(code: object) -> dict[str, str]:
    known = isinstance(code, str) and pycountry.countries.get(alpha_2=code) is not None
    return {"country": str(code)} if known else {}


def _without_prefix(text: str, prefix: str) -> str:
    # The name is a field of its own: in the text too it would count twice.
    return text[len(prefix) :].lstrip(" .") if prefix and text.startswith(prefix) else text.strip()


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    while text:
        cut = len(text) if len(text) <= TEXT_CHARACTERS else _last_break(text, TEXT_CHARACTERS)
        parts.append(text[:cut].strip())
        text = text[cut:].strip()
    return parts


def _last_break(text: str, limit: int) -> int:
    """Return where to cut `text`: after at most `limit` characters, between words where there are any."""
    space = text.rfind(" ", 0, limit)
    return space if space > 0 else limit


def _rows(folder: Path, name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(folder, f"{name}.jsonl"), 1):
        try:
            row = json.loads(line)
        except ValueError:
            raise DataError(f"{folder}/{name}.jsonl, line {number}: not JSON") from None
        if not isinstance(row, dict):
            raise DataError(f"{folder}/{name}.jsonl, line {number}: not an object")
        yield row


def _lines(folder: Path, name: str) -> Iterator[str]:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder}: there is no {name}, plain or with .gz")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
