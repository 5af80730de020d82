"""Which columns look like personal data that one should not use."""

import polars as pl
import pytest

from ccf_llm.data.personal import holds_e_mails, personal_kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        *((name, "a name") for name in ("name", "first_name", "LastName", "username", "user name", "Nickname")),
        *((name, "an e-mail address") for name in ("email", "E-Mail", "e_mail", "userEmail", "emailaddress")),
        *((name, "an address") for name in ("street", "zip_code", "zip", "postcode", "home address", "IP", "lat")),
        *((name, "a telephone number") for name in ("phone", "phoneNumber", "TEL", "mobile")),
        *((name, "a date of birth") for name in ("birthday", "date_of_birth", "birthDate", "dob")),
        *(("ssn", "a number of a person"), ("password", "a secret"), ("religion", "religion"), ("race", "origin")),
    ],
)
def test_names_of_columns_that_nobody_should_tell(column: str, kind: str) -> None:
    assert personal_kind(column) == kind


@pytest.mark.parametrize(
    "column",
    [
        "age",
        "gender",
        "occupation",
        "country",
        "about",
        "birth_year",
        "interests",
        "trace",
        "language",
        "region",
        "tips",
    ],
)
def test_other_columns_may_be_told(column: str) -> None:
    assert personal_kind(column) is None


def test_addresses_in_texts() -> None:
    assert holds_e_mails(pl.Series(["", None, "ask ann.b@example.co.uk"]))
    assert not holds_e_mails(pl.Series(["", None, "plays @ home", "a@b"]))
    assert not holds_e_mails(pl.Series([], dtype=pl.String))
