"""Which columns of the user's tables are meant, where they bear other names than ours and nobody says which."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from ccf_llm.data.importers.columns import TIME_NAMES, Columns, Tables
from ccf_llm.data.validate import LIKE_RATINGS

USERS = (
    r"(?i)^(?:user|customer|client|reviewer|reader|viewer|listener|player|visitor|member|account)"
    r"[-_ ]?(?:id|no|key|name)?$|^uid$"
)
TITLES = (r"(?i)^(?:.*[-_ ])?title$", r"(?i)^(?:.*[-_ ])?name$")
LABELS = r"(?i)^(?:.*[-_ ])?(?:labels?|likes?|liked)$"


def guess_columns(tables: Tables, named: Columns, sure: Collection[str] = ()) -> Columns:
    """`named`, and where its columns are not in the tables those that look like it, if there is exactly one.

    A user is looked for by name; an item is what the tables of interactions and of items share; a rating, a label, a
    time and a title go by their names. What is not found stays as it was, for the import to refuse, and so do the
    fields of `named` that are `sure`; a column of times that is sure and not there is a `CCFError`.
    """
    if "timestamp" in sure and named.timestamp:  # else the import takes it that nobody knows the times
        tables.interactions.check(named.timestamp, "timestamp")
    plain = Columns()
    interactions, items = tables.interactions.frame.columns, tables.items.frame.columns
    found = {}
    if named.user == plain.user and plain.user not in interactions:
        found["user"] = _only(name for name in interactions if re.match(USERS, name))
    if named.item == plain.item and not (plain.item in interactions and plain.item in items):
        found["item"] = _only(name for name in interactions if name in items and not re.match(USERS, name))
    if named.title == plain.title and plain.title not in items:
        found["title"] = next(filter(None, (_only(n for n in items if re.match(form, n)) for form in TITLES)), "")
    if named.timestamp == plain.timestamp and plain.timestamp not in interactions:
        found["timestamp"] = _only(name for name in interactions if name.lower() in TIME_NAMES)
    if not (named.rating or named.label or "rating" in interactions or "label" in interactions):
        rating = _only(name for name in interactions if re.match(LIKE_RATINGS, name))
        found["label" if re.match(LABELS, rating) else "rating"] = rating
    return replace(named, **{field: name for field, name in found.items() if name and field not in sure})


def _only(names: Iterable[str]) -> str:
    """The one name; empty where there is none or more."""
    first, *others = [*names] or [""]
    return "" if others else first
