"""What every e-mail must be, whatever it says: looked at as it came over the wire.

`python -m tests.parts.mails DIR` looks at every message of a demonstration's mail folder, each of which tells somebody
of suggestions; it fails where one is not right, or where there is none.
"""

import email
import email.policy
import re
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po

_LOCALE: Final = Path(__file__).parents[2] / "services" / "notifier" / "pages" / "locale"
_LANGUAGES: Final = {"fr": "ltr", "en": "ltr", "ar": "rtl"}

_ONCE: Final = ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "MIME-Version")
_MESSAGE_ID: Final = re.compile(r"<[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@[a-z0-9.-]+>")
_ONE_CLICK: Final = re.compile(rb"^List-Unsubscribe: <https?://[^\s<>,]+>\r?$", re.MULTILINE)

_LINE_BYTES: Final = 998
"""RFC 5322, 2.1.1, without the line's end."""

_TELLING_CHARACTERS: Final = 24
"""Words of a catalogue that are shorter than this may be anybody's: an innovation city's name, what a member wrote."""

_TRACE: Final = re.compile(rb"\A((Return-Path|Delivered-To):[^\n]*\n)+")
_PLACEHOLDER: Final = re.compile(r"%\(\w+\)\w")


class _Markup(HTMLParser):
    """Reads what a mail's HTML loads from elsewhere, runs, or says of its language."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.root: dict[str, str | None] = {}
        self.forbidden: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.root = dict(attrs)
        names = {name for name, _ in attrs}
        if tag in ("img", "script", "link", "iframe", "object", "form") or "src" in names or "background" in names:
            self.forbidden.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check(raw: bytes, *, tells: bool = False) -> None:
    """Assert that a message is whole: headers, both parts, one click, one language, nothing that tracks its reader.

    Args:
        raw: the message as it was received.
        tells: whether it tells of suggestions, so that it must offer to be told no more (RFC 8058).
    """
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert [defect for part in mail.walk() for defect in part.defects] == []
    assert max(map(len, raw.splitlines())) <= _LINE_BYTES
    for header in _ONCE:
        assert len(mail.get_all(header, [])) == 1, f"{header}: {mail.get_all(header)}"
    assert _MESSAGE_ID.fullmatch(str(mail["Message-ID"])), mail["Message-ID"]
    assert mail["Date"].datetime is not None
    assert mail["From"].addresses[0].addr_spec
    assert str(mail["Subject"]).strip()
    language = str(mail["Content-Language"])
    assert language in _LANGUAGES
    _check_one_click(raw, mail, tells=tells)
    for text in _texts(mail, language):
        _check_language(" ".join(text.split()), language)
    _check_language(str(mail["Subject"]), language)


def _check_one_click(raw: bytes, mail: EmailMessage, *, tells: bool) -> None:
    offered = mail.get_all("List-Unsubscribe", [])
    assert not tells or offered
    if offered:
        head = raw.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in raw else raw.partition(b"\n\n")[0]
        assert len(_ONE_CLICK.findall(head)) == 1, offered
        assert mail.get_all("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]


def _texts(mail: EmailMessage, language: str) -> Iterator[str]:
    """Yield what a reader of text, and one of HTML, reads."""
    text = mail.get_body(("plain",))
    assert isinstance(text, EmailMessage)
    content = str(text.get_content())
    assert content.strip()
    yield content
    if not mail.is_multipart():  # for who wants text alone
        return
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    html = mail.get_body(("html",))
    assert isinstance(html, EmailMessage)
    markup = _Markup(str(html.get_content()))
    assert markup.forbidden == []
    assert markup.root.get("lang") == language
    assert markup.root.get("dir", "ltr") == _LANGUAGES[language]
    yield " ".join(markup.words)


def _check_language(text: str, language: str) -> None:
    ours = _phrases(language)
    for other in _LANGUAGES:
        if other != language:
            strangers = [phrase for phrase in _phrases(other) - ours if phrase in text]
            assert strangers == [], f"{language}, and yet {other}: {strangers}"


@cache
def _phrases(language: str) -> frozenset[str]:
    """Return what only this language's catalogue says: the parts of its messages between what is filled in."""
    file = _LOCALE / f"{'fr' if language == 'en' else language}.po"
    with file.open("rb") as catalogue:
        messages = [message for message in read_po(catalogue) if message.id]
    said = [message.id if language == "en" else message.string for message in messages]
    whole = [one for each in said for one in ((each,) if isinstance(each, str) else each)]
    parts = [" ".join(part.split()) for one in whole for part in _PLACEHOLDER.split(one)]
    return frozenset(part for part in parts if len(part) >= _TELLING_CHARACTERS and " " in part)


def check_all(maildir: Path) -> int:
    """Look at every message that the demonstration's mail server stored, and return how many there are."""
    files = sorted(maildir.rglob("*.eml"))
    for file in files:
        # What that server puts before the message is not the message's.
        check(_TRACE.sub(b"", file.read_bytes()), tells=True)
    return len(files)


if __name__ == "__main__":
    count = check_all(Path(sys.argv[1]))
    sys.exit(None if count else f"There is no message in {sys.argv[1]}.")
