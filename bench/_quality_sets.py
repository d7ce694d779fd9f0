"""A set with its judgements, ready to be ranked, and the parts that its figures are told in."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench._baselines import Texts
from bench._data import DataError, Folder, load, read_rows
from bench._quality import mean
from bench._quality_engine import terms
from services.matcher.index import Analyser

HALVES: Final = (0, 1)

SHORTEST_NAME: Final = 4
"""Letters of a name, spaces left out, that a text can be said to quote: shorter ones stand in many texts by chance."""

LEAST_SPLIT: Final = 10
"""Requests on either side for a split to be told: the mean of fewer says nothing."""

QUOTING_RULE: Final = (
    "A request quotes a name if its text holds, word for word, the name of an organisation that is judged relevant for "
    "it, its acronym, or what its name has before or within brackets; case, accents and punctuation do not count; only "
    f"names of {SHORTEST_NAME} letters or more do."
)

_WORDS: Final = re.compile(r"[^\W_]+")
_BRACKETS: Final = re.compile(r"[()]")


@dataclass(frozen=True, kw_only=True)
class JudgedSet:
    """A folder with judgements.

    Attributes:
        quoting: the judged requests that quote the name of a relevant organisation; none where docs are no
            organisations.
    """

    name: str
    folder: Folder
    path: Path
    quoting: frozenset[str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over the requests of a set, and over each half of them."""

    all: float
    halves: tuple[float, float]


def judged_sets(root: Path) -> list[JudgedSet]:
    """Return the sets of a folder of folders, by name: those with judgements.

    Raises:
        DataError: there is none, or one is not in the expected form.
    """
    folders = sorted(path.parent for path in root.glob("*/qrels.tsv*") if path.name in {"qrels.tsv", "qrels.tsv.gz"})
    if not folders:
        raise DataError(f"{root}: no folder in it has a qrels.tsv, plain or with .gz")
    return [judged_set(folder) for folder in dict.fromkeys(folders)]


def judged_set(path: Path) -> JudgedSet:
    """Read one set.

    Raises:
        DataError: it is not in the expected form, or judges none of its queries.
    """
    folder = load(path)
    if not folder.relevant:
        raise DataError(f"{path}: qrels.tsv judges none of the queries")
    return JudgedSet(name=folder.name, folder=folder, path=path, quoting=frozenset(_quoting(path, folder.relevant)))


def texts(judged: JudgedSet, analyser: Analyser) -> Texts:
    """Return the texts of a set as the baselines read them: as they are written, name and all."""
    docs, queries = read_rows(judged.path, "docs"), read_rows(judged.path, "queries")
    projects = read_rows(judged.path, "past_projects", needed=False)

    def read(row: Mapping[str, Any]) -> list[str]:
        return terms(analyser, str(row["text"]), row.get("lang"))

    return Texts(
        docs={str(row["id"]): str(row["text"]) for row in docs},
        queries={str(row["id"]): str(row["text"]) for row in queries},
        doc_terms={str(row["id"]): read(row) for row in docs},
        query_terms={str(row["id"]): read(row) for row in queries},
        project_terms=[read(row) for row in projects],
        project_docs=[[str(doc) for doc in row["docs"]] for row in projects],
    )


def half_of(query: str) -> int:
    """Return the half that a query belongs to, 0 or 1: the lowest bit of its id's CRC-32, so it never changes."""
    return zlib.crc32(query.encode()) & 1


def figure(values: Mapping[str, float]) -> Figure:
    """Return the figure of a set from a value for each query."""
    first, second = ([value for query, value in values.items() if half_of(query) == half] for half in HALVES)
    return Figure(mean(list(values.values())), (mean(first), mean(second)))


def macro(figures: Sequence[Figure]) -> Figure:
    """Return the mean over sets, each counting the same however many queries it has."""
    first, second = (mean([one.halves[half] for one in figures]) for half in HALVES)
    return Figure(mean([one.all for one in figures]), (first, second))


def quotes(text: str, name: str) -> bool:
    """Tell whether a text holds a name word for word; see QUOTING_RULE."""
    words = _folded(name)
    return len(words.replace(" ", "")) >= SHORTEST_NAME and f" {words} " in f" {_folded(text)} "


def splits(judged: JudgedSet) -> dict[str, Callable[[str], bool]]:
    """Return the parts of a set that quote a relevant name and that do not, as label → which queries.

    Empty where one of the two has fewer than LEAST_SPLIT requests.
    """
    quoting = len(judged.quoting)
    if min(quoting, len(judged.folder.relevant) - quoting) < LEAST_SPLIT:
        return {}
    return {
        "a name quoted": lambda query: query in judged.quoting,
        "no name quoted": lambda query: query not in judged.quoting,
    }


def _quoting(path: Path, relevant: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    names = {str(row["id"]): _names(row) for row in read_rows(path, "docs")}
    for row in read_rows(path, "queries"):
        query, text = str(row["id"]), str(row["text"])
        if any(quotes(text, name) for doc in relevant.get(query, ()) for name in names.get(doc, ())):
            yield query


def _names(row: Mapping[str, Any]) -> list[str]:
    # What has a title and no name is a page or an article: its title names its subject, nobody that could be quoted.
    extra = row.get("extra") or {}
    name = str(extra.get("name") or "")
    return [name, *_BRACKETS.split(name), *map(str, extra.get("sigle") or ())]


def _folded(text: str) -> str:
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return " ".join(_WORDS.findall(plain.casefold()))
