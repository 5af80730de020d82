"""Columns that say who a person is, or what nobody should be sorted by: no recommender needs them."""

import re

import polars as pl

KINDS = {
    "a name": "name|(?:first|last|sur|full|user|nick)name|login",
    "an address": "address|street|city|location|zip|(?:zip|post)code|postal|lat|lon|lng|latitude|longitude|gps|ip",
    "an e-mail address": "e?mails?|e?mailaddress",
    "a telephone number": "(?:tele)?phone(?:number|no)?|tel|mobile|cell|fax",
    "a date of birth": "birthday|birthdate|dateofbirth|dob",
    "a number of a person": "ssn|passport|iban|(?:credit)?card|account|cookie|uuid|guid",
    "a secret": "password|passwd|pwd|secret|token",
    "health": "health|disease|diagnosis|disability|medication|pregnant|pregnancy",
    "religion": "religion|religious|faith",
    "origin": "race|ethnicity|ethnic|caste",
    "politics": "politics|political|party|union",
    "sexual life": "sexuality|orientation",
}
"""What a column holds, by one word of its name: what identifies people, and GDPR article 9's special categories."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PAIRS = {"birth date": "a date of birth", "date birth": "a date of birth"}


def personal_kind(column: str) -> str | None:
    """What a column holds by its name that one should not use; None where the name gives no such sign.

    Examples:
        >>> personal_kind("EmailAddress"), personal_kind("zip_code"), personal_kind("occupation")
        ('an address', 'an address', None)
    """
    words = [word.lower() for word in _WORD.findall(column)]
    for kind, names in KINDS.items():
        if any(re.fullmatch(names, word) for word in words):
            return kind
    shown = " ".join(word for word in words if word != "of")
    return next((kind for pair, kind in _PAIRS.items() if pair in shown), None)


def looks_personal(texts: pl.Series) -> bool:
    """Whether a column holds, by its name or by e-mail addresses in it, what one should not use."""
    return personal_kind(texts.name) is not None or holds_e_mails(texts)


def holds_e_mails(texts: pl.Series) -> bool:
    """Whether an e-mail address stands in one of the texts.

    Examples:
        >>> holds_e_mails(pl.Series(["", "write to ann@example.org"])), holds_e_mails(pl.Series(["plays @ home"]))
        (True, False)
    """
    return bool(texts.str.contains(r"\w@[\w.-]+\.\w").any())
