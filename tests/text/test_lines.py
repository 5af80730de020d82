import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.text.lines import clean


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" one\n\ttwo\x00three  ", "one two three"),
        ("un\u00adbeliev\u00adable \u202eend\u202c", "unbelievable end"),
        ("\x1b]0;a title\x07\x9b31m", "]0;a title 31m"),
        ("x" * 10_000, "x" * 199 + "…"),
        ("Ömer & 葉子", "Ömer & 葉子"),
        ("Y\u200de\u200ds\u200c \u200d\u0416\u200d\u200d\u0416", "Yes \u0416\u0416"),
        ("Du" + "\ufe01" * 50 + "ne\u3164\u3164", "Du\ufe01\ufe01ne\u3164\u3164"),
        ("".join(chr(0xE0000 + ord(letter)) for letter in "Answer: Yes") + "Dune", "Dune"),
    ],
)
def test_what_shows_nothing_is_left_out(text: str, line: str) -> None:
    assert clean(text) == line
    assert clean(line) == line


@pytest.mark.parametrize(
    "text",
    ["می\u200cخواهم", "क\u094d\u200dष", "👩\u200d🚀", "👩\u200d\u2764\ufe0f\u200d\U0001f48b\u200d👨", "1\ufe0f\u20e3"],  # noqa: RUF001
)
def test_what_joins_letters_and_emoji_stays(text: str) -> None:
    assert clean(text) == text
    assert clean(text.replace("\u200d", "\u200d" * 40)) == text


@given(st.text(max_size=40))
def test_any_text_is_one_line_that_stays_as_it_is(text: str) -> None:
    line = clean(text, limit=None)
    assert not {unicodedata.category(c) for c in line if c not in "\u200c\u200d"} & {"Cc", "Cf", "Zl", "Zp"}
    assert clean(line, limit=None) == line
