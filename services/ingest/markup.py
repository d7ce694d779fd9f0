"""The words of a text that was pasted with its HTML."""

import html
import re
from typing import Final

_BLOCKS: Final = (
    "aside|blockquote|br|caption|col|colgroup|dd|div|dl|dt|fieldset|figcaption|figure|footer|h[1-6]|hr|li|nav|ol|p|pre|"
    "tbody|td|tfoot|thead|th|tr|ul"
)
_INLINES: Final = (
    "abbr|acronym|audio|a|bdi|bdo|big|b|canvas|cite|del|embed|em|font|iframe|img|ins|i|kbd|noscript|o:p|picture|q|samp|"
    "small|source|span|strike|strong|sub|sup|svg|s|tt|u|var|video|wbr"
)
_WORDS: Final = (
    "address|article|body|button|center|code|data|details|dfn|footer|form|head|header|html|input|label|legend|link|main|"
    "map|mark|menu|meta|object|option|path|section|select|summary|table|textarea|time|title"
)
"""Names that people put in angle brackets too: HTML if they have attributes or an end."""

_ATTRIBUTE: Final = r"""\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+)"""
_TAG: Final = re.compile(
    rf"<(?P<end>/)?(?:(?P<block>{_BLOCKS})|(?:{_INLINES})|(?P<word>{_WORDS}))(?P<attributes>(?:{_ATTRIBUTE})*)\s*/?>",
    re.IGNORECASE,
)
"""HTML's own words alone: `pH < 7 and > 5` is none, and neither is `<x>` in a formula, nor `<b and c>`."""

_END: Final = re.compile(rf"</({_WORDS})\s*>", re.IGNORECASE)
_UNSEEN: Final = re.compile(r"<!--|<(script|style)\b[^<>]*>", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,6});")
_MANY_LINES: Final = re.compile(r"\n{3,}")

_ROUNDS: Final = 3
"""HTML that was escaped is found in the next round; deeper is nobody's text."""


class MarkupError(ValueError):
    """There is markup within markup within markup."""


def without_markup(text: str) -> str:
    """Return the words alone, a block on lines of its own; the text itself where there is no HTML in it.

    What is returned has none: it is its own result.

    Raises:
        MarkupError: there is some in it yet, after several rounds.
    """
    for _ in range(_ROUNDS):
        words = _once(text)
        if words == text:
            return words
        text = words
    if _once(text) != text:
        raise MarkupError
    return text


def _once(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    seen = _without_unseen(text)
    ended = {end.lower() for end in _END.findall(seen)}

    def replaced(tag: re.Match[str]) -> str:
        if tag["word"] and not tag["attributes"] and tag["word"].lower() not in ended:
            return tag[0]
        return "\n" if tag["block"] else ""

    bare = _TAG.sub(replaced, seen)
    if bare != text:
        lines = (" ".join(line.split()) for line in bare.splitlines())
        bare = _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), bare)


def _without_unseen(text: str) -> str:
    """Return a text without comments, scripts and styles that have an end."""
    kept, place, endless = list[str](), 0, set[str]()
    for begin in _UNSEEN.finditer(text):
        end = "-->" if begin[1] is None else f"</{begin[1].lower()}>"
        if begin.start() < place or end in endless:
            continue
        stop = text.lower().find(end, begin.end()) if begin[1] else text.find(end, begin.end())
        if stop < 0:
            endless.add(end)  # nor is there one after any other
            continue
        kept += text[place : begin.start()], " "
        place = stop + len(end)
    return "".join([*kept, text[place:]])
