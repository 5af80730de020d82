"""Titles and other texts of tables as people mean them."""

import html
import re

import polars as pl

LISTS = r"(?i)^(?:.*_)?(?:genres?|categor(?:y|ies)|tags?|keywords?|subjects?|topics?|shel(?:f|ves)|styles?|moods?)$"
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
# Fillers that count as letters but show nothing: those of Hangul, and the empty Braille cell.
_VISIBLE = r"[^\p{C}\p{Z}\x{115f}\x{1160}\x{3164}\x{ffa0}\x{2800}]"


def plain_texts(values: pl.Series) -> pl.Series:
    """Texts with HTML's entities (`&amp;`) decoded, and names of genres, categories or tags separated by `, `.

    Applied twice it gives the same as once.
    """
    coded = values.str.contains("&[#A-Za-z]")
    if coded.any():
        decoded = [_decoded(text) if is_coded else text for text, is_coded in zip(values, coded, strict=True)]
        values = pl.Series(values.name, decoded, dtype=pl.String)
    return _listed(values) if re.match(LISTS, values.name) else values


def is_visible(titles: pl.Series) -> pl.Series:
    """(N,) whether a title shows anything: not empty, and more than spaces and marks without a width."""
    return titles.str.contains(_VISIBLE)


def _decoded(text: str) -> str:
    before = ""
    while before != text:  # what was encoded twice is decoded twice
        before, text = text, _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return text


def _listed(values: pl.Series) -> pl.Series:
    """The separator is the one that the column has: a bar, else a semicolon, else a comma."""
    separator = next((one for one in "|;" if values.str.contains(one, literal=True).any()), ",")
    parts = values.str.split(separator).list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != "")).list.join(", ").alias(values.name)
