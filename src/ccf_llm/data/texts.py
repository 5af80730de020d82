"""Titles and other texts of tables as people mean them."""

import html
import re

import polars as pl

LISTS = (
    r"(?i)^(?:.*_)?(?:actors?|cast|genres?|categor(?:y|ies)|tags?|keywords?|subjects?|topics?|shel(?:f|ves)|styles?|"
    r"moods?)$"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_INLINE = "a|abbr|acronym|b|big|cite|code|em|font|i|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var"
_BLOCK = (
    "address|article|blockquote|br|center|dd|div|dl|dt|figcaption|figure|h[1-6]|hr|img|li|ol|p|pre|section|table|tbody|"
    "td|th|thead|tr|ul"
)
_NOT_CLOSED = r"(?:\s+[\w:-]*(?:\s*=[^<>]*)?)?$"
_INLINE_TAG = re.compile(rf"(?i)</?(?:{_INLINE})(?:(?:\s[^<>]*)?/?>|{_NOT_CLOSED})")
_BLOCK_TAG = re.compile(rf"(?is)<!--.*?-->|</?(?:{_BLOCK})(?:(?:\s[^<>]*)?/?>|{_NOT_CLOSED})|</?$")
PASSES = 20
"""After so many a text that still has tags was made to have them, and loses what opens one."""
_GAP = re.compile(r"[^\S\n]{2,}")
# Fillers that count as letters but show nothing: those of Hangul, and the empty Braille cell.
_VISIBLE = r"[^\p{C}\p{Z}\x{115f}\x{1160}\x{3164}\x{ffa0}\x{2800}]"


def plain_texts(values: pl.Series) -> pl.Series:
    """Texts as people read them; applied twice it gives the same as once.

    HTML's entities (`&amp;`) are decoded and its tags (`<br>`) taken out, but for those in titles; what no tag of HTML
    is called, such as `<enter>`, stays. Names of genres, categories or tags are separated by `, `.
    """
    plain = _decoded if values.name == "title" else _untagged
    coded = values.str.contains("&[#A-Za-z]" if values.name == "title" else "&[#A-Za-z]|<[A-Za-z/!]|<$")
    if coded.any():
        decoded = [plain(text) if is_coded else text for text, is_coded in zip(values, coded, strict=True)]
        values = pl.Series(values.name, decoded, dtype=pl.String)
    return _listed(values) if is_list(values.name) else values


def is_list(column: str) -> bool:
    """Whether a column holds several names in each field, by what it is called: genres, tags, keywords, ..."""
    return re.match(LISTS, column) is not None


def is_visible(titles: pl.Series) -> pl.Series:
    """(N,) whether a title shows anything: not empty, and more than spaces and marks without a width."""
    return titles.str.contains(_VISIBLE)


def _decoded(text: str) -> str:
    before = ""
    while before != text:  # what was encoded twice is decoded twice
        before, text = text, _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return text


def _untagged(text: str) -> str:
    """Without entities and tags: those that part words become a space, those inside a line nothing."""
    for _ in range(PASSES):  # what is left of a tag may make another one
        before, text = text, _INLINE_TAG.sub("", _BLOCK_TAG.sub(" ", _decoded(text)))
        if text == before:
            return text
        text = _GAP.sub(" ", text).strip()
    return _GAP.sub(" ", text.replace("<", " ")).strip()


def _listed(values: pl.Series) -> pl.Series:
    """The separator is the one that the column has: a bar, else a semicolon, else a comma."""
    separator = next((one for one in "|;" if values.str.contains(one, literal=True).any()), ",")
    parts = values.str.split(separator).list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != "")).list.join(", ").alias(values.name)
