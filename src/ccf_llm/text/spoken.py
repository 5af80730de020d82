"""Numbers and letters of a table of people as words: an age of 34 is "in their thirties"."""

import re

NOTHING = frozenset({"", "none", "null", "nan", "n/a", "unknown", "undefined", "other", "-", "?"})
"""Values, in any case, that say nothing of a person."""
DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
OLDEST = 120
_AGE = re.compile(r"(?i)^(?:.*_)?age$")
_BORN = re.compile(r"(?i)^(?:year_of_birth|birth_?year|yob|born)$")
_GENDER = re.compile(r"(?i)^(?:.*_)?(?:gender|sex)$")
_WHOLE = re.compile(r"-?\d+(?:\.\d+)?")


def spoken(column: str, value: str) -> str:
    """A field of a person in words; empty where it says nothing.

    An age in whole years becomes a decade, any other age, such as a range, stands after "aged"; a year of birth becomes
    a decade too; `M` and `F` of a gender are written out. Other fields, also numbers, stand as they are: put words
    around them.

    Examples:
        >>> [spoken("age", years) for years in ("8", "17", "34", "103", "-1", "25-34", "under 18")]
        ['a child', 'in their teens', 'in their thirties', 'over a hundred', '', 'aged 25-34', 'under 18']
        >>> spoken("birth_year", "1987"), spoken("gender", "F"), spoken("occupation", "None"), spoken("visits", "7")
        ('born in the 1980s', 'female', '', '7')
    """
    value = value.strip()
    if value.casefold() in NOTHING:
        return ""
    if _AGE.match(column):
        return _age(value)
    if _BORN.match(column) and re.fullmatch(r"(?:19|20)\d\d(?:\.0)?", value):
        return f"born in the {value[:3]}0s"
    if _GENDER.match(column):
        return {"m": "male", "f": "female"}.get(value.casefold(), value)
    return value


def _age(value: str) -> str:
    if not _WHOLE.fullmatch(value):
        return f"aged {value}" if value[0].isdigit() else value
    years = int(float(value))
    if not 0 < years <= OLDEST:  # no age: a mark for a missing one
        return ""
    if years < 13:
        return "a child"
    if years < 20:
        return "in their teens"
    return "over a hundred" if years >= 100 else f"in their {DECADES[years // 10 - 2]}"
