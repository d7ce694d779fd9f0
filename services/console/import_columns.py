"""What columns are called: by the API, by French and Arabic spreadsheets, and by whoever said so once.

What somebody said with `--column` is remembered in a file of theirs, so that the same spreadsheet of next month needs
no more saying.
"""

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import typer

_ID: Final = "id"
"""What a column is called that holds the id of whatever the file tells of."""

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    _ID: ("id", "identifiant", "المعرف"),
    "member_id": ("membre", "identifiant du membre", "العضو", "معرف العضو"),
    "need_id": ("identifiant du besoin", "معرف الحاجة"),
    "name": ("nom", "raison sociale", "organisme", "الاسم", "اسم المؤسسة"),
    "kind": ("type", "nature", "النوع", "الصنف"),
    "summary": ("resume", "presentation", "النبذة", "الملخص"),
    "locality": ("ville", "localite", "المدينة"),
    "city": ("cite", "cite de l'innovation", "مدينة الابتكار"),
    "country": ("pays", "البلد"),
    "languages": ("langues", "اللغات"),
    "interests": ("interets", "centres d'interet", "الاهتمامات"),
    "activities": ("activites", "الأنشطة"),
    "title": ("titre", "intitule", "besoin", "objet", "العنوان", "الحاجة"),
    "text": ("texte", "description", "النص", "الوصف"),
    "direction": ("sens", "الاتجاه"),
    "deadline": ("echeance", "date limite", "الأجل", "آخر أجل"),
    "kinds_sought": ("types recherches", "partenaires recherches", "الأصناف المطلوبة"),
    "email": ("e-mail", "courriel", "adresse e-mail", "البريد الإلكتروني"),
    "phone": ("telephone", "tel", "الهاتف"),
    "language": ("langue", "اللغة"),
}

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "company": ("entreprise", "societe", "شركة", "مقاولة"),
    "laboratory": ("laboratoire", "مختبر"),
    "university": ("universite", "جامعة"),
    "innovation_city": ("cite de l'innovation", "مدينة الابتكار"),
    "request": ("demande", "recherche", "طلب"),
    "offer": ("offre", "عرض"),
}
"""Words of cells whose field takes one of a few."""


def _plain(words: str) -> str:
    """Return words as they are compared: no case, no accents, one sort of apostrophe and space."""
    apart = unicodedata.normalize("NFKD", words.strip().casefold().replace("’", "'"))
    return " ".join("".join(sign for sign in apart if not unicodedata.combining(sign)).split())


_BY_NAME: Final = {_plain(name): field for field, names in _FIELDS.items() for name in names}
_BY_WORD: Final = {_plain(word): value for value, words in _WORDS.items() for word in words}


def word(cell: str) -> str:
    """Return what the API calls what a cell says in French or Arabic; anything else as it is."""
    return _BY_WORD.get(_plain(cell), cell)


class Columns:
    """What columns are called."""

    def __init__(self, said: Mapping[str, str] | None = None) -> None:
        """`said`: fields by the name of a column, in whatever spelling; they come before all others."""
        self._said = {_plain(name): field for name, field in (said or {}).items()}

    def fields(self, header: Sequence[str]) -> list[str]:
        """Return the field of each column; the column's own name where nobody knows better."""
        fields = [self._field(name) for name in header]
        if _ID in fields:
            whose = "need_id" if "title" in fields else "ambassador_id" if "role" in fields else "member_id"
            fields[fields.index(_ID)] = whose
        if "text" in fields and "title" not in fields:  # what a spreadsheet of members calls a description
            fields[fields.index("text")] = "summary"
        return fields

    def _field(self, name: str) -> str:
        plain = _plain(name)
        return self._said.get(plain) or _BY_NAME.get(plain) or name.strip().lower()


def remembered() -> Path:
    """Return where is kept what somebody said of columns."""
    return Path(os.environ.get("MAILLAGE_COLUMNS") or Path(typer.get_app_dir("maillage")) / "columns.json")


def recall(said: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return what was said of columns, now and before, and remember it."""
    before: dict[str, str] = {}
    if path.exists():
        try:
            before = {str(name): str(field) for name, field in json.loads(path.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError):
            before = {}  # not ours, or not written to its end
    if said:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(before | dict(said), ensure_ascii=False, indent=1), encoding="utf-8")
    return before | dict(said)
