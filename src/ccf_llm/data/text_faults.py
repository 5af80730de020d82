"""What is odd about the texts of a catalogue: leftovers of HTML, wrong encodings, capitals, scripts, doubles."""

from typing import Any

import numpy as np
import polars as pl

ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});"
MOJIBAKE = "[ÂÃÐÑ][\u0080-\u00bf]|â€|ï¿½|\ufffd"
"""UTF-8 that was read as Latin-1 or Windows-1252, and what could not be read at all."""
SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Thai", "Hangul", "Hiragana"),
    *("Katakana", "Han"),
)
LETTERS = 4
"""Fewer letters in capitals are an abbreviation."""


def text_faults(items: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Column -> what is odd -> how many items; only what there is.

    `empty` items have nothing in the column, `entities` (`&amp;`) and `mojibake` are not as they were meant, and
    `all_caps` shout.
    """
    found = {}
    for name in items.columns[1:]:
        texts = items[name].cast(pl.String).fill_null("")
        upper = (texts == texts.str.to_uppercase()) & (texts != texts.str.to_lowercase())
        marks = {
            "empty": texts.str.strip_chars() == "",
            "entities": texts.str.contains(ENTITY),
            "mojibake": texts.str.contains(MOJIBAKE),
            "all_caps": upper & (texts.str.count_matches(r"\p{L}") >= LETTERS),
        }
        counts = {mark: int(there.sum()) for mark, there in marks.items() if there.any()}
        if counts:
            found[name] = counts
    return found


def scripts(titles: pl.Series) -> dict[str, float]:
    """Script -> share of the titles most of whose letters are of it, the most frequent first; `none` has no letters.

    Languages that share a script, as English and French do, are not told apart.
    """
    letters = np.stack([titles.str.count_matches(rf"\p{{{name}}}").to_numpy() for name in SCRIPTS], axis=1)
    other = titles.str.count_matches(r"\p{L}").to_numpy() - letters.sum(1)
    counts = np.column_stack([np.zeros(len(titles)), letters, other])
    names, found = np.unique(np.array(("none", *SCRIPTS, "other"))[counts.argmax(1)], return_counts=True)
    ranked = sorted(zip(found.tolist(), names.tolist(), strict=True), reverse=True)
    return {name: round(count / len(titles), 4) for count, name in ranked}


def same_titles(items: pl.DataFrame) -> dict[str, Any]:
    """How many items share their title with another, whatever its case, and the titles that most of them have."""
    folded = items.select(pl.col("title").str.to_lowercase().str.strip_chars()).with_columns(title_of=items["title"])
    groups = folded.group_by("title").agg(pl.len().alias("items"), pl.col("title_of").first())
    doubled = groups.filter(pl.col("items") > 1).sort("items", "title", descending=[True, False])
    return {"items": int(doubled["items"].sum()), "most": dict(doubled.head(3).select("title_of", "items").iter_rows())}
