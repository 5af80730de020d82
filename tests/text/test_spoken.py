"""Fields of people in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.text.spoken import NOTHING, spoken


@pytest.mark.parametrize(
    ("years", "words"),
    [
        *(("1", "a child"), ("12", "a child"), ("13", "in their teens"), ("19", "in their teens")),
        *(("20", "in their twenties"), ("29", "in their twenties"), ("30", "in their thirties")),
        *(("99", "in their nineties"), ("100", "over a hundred"), ("34.0", "in their thirties")),
        *(("0", ""), ("-1", ""), ("999", ""), ("", ""), ("nan", "")),  # marks for a missing one
        *(("18-24", "aged 18-24"), ("56+", "aged 56+"), ("under 18", "under 18"), ("adult", "adult")),
    ],
)
@pytest.mark.parametrize("column", ["age", "Age", "user_age"])
def test_ages(column: str, years: str, words: str) -> None:
    assert spoken(column, years) == words


@given(years=st.integers(13, 99))
def test_every_age_has_its_decade(years: int) -> None:
    words = spoken("age", str(years))
    assert words.startswith("in their ")
    assert words == spoken("age", str(years // 10 * 10)) or years < 20


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("gender", "M", "male"),
        ("sex", "f", "female"),
        ("gender", "nonbinary", "nonbinary"),
        ("birth_year", "1987", "born in the 1980s"),
        ("yob", "2003.0", "born in the 2000s"),
        ("birth_year", "87", "87"),
        ("occupation", "technician", "technician"),
        ("country", "NA", "NA"),  # Namibia
        ("visits", "12", "12"),
        ("page", "34", "34"),
        ("message", "f", "f"),
    ],
)
def test_other_fields(column: str, value: str, words: str) -> None:
    assert spoken(column, value) == words


@pytest.mark.parametrize("column", ["age", "gender", "occupation"])
@pytest.mark.parametrize("value", [*sorted(NOTHING), "None", "NaN", " N/A ", "Other"])
def test_what_says_nothing_is_left_out(column: str, value: str) -> None:
    assert spoken(column, value) == ""
