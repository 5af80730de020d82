import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.text.cutting import cut

STORY = 'You wake, alone. "Who is there?" Nobody answers! Will 3.5 hours do… or not'


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        (STORY, 99, STORY),
        (STORY, 13, 'You wake, alone. "Who is there?" Nobody answers! Will 3.5 hours do…'),
        (STORY, 9, 'You wake, alone. "Who is there?" Nobody answers!'),
        (STORY, 7, 'You wake, alone. "Who is there?"'),
        (STORY, 3, "You wake, alone."),
        (STORY, 2, "You wake,"),
        (STORY, 0, ""),
    ],
)
def test_a_description_ends_after_a_sentence(text: str, most: int, kept: str) -> None:
    assert cut(text, most, words) == kept


def test_sentences_may_stand_without_spaces_between() -> None:
    assert cut("你醒了。没有人知道。", 6, len) == "你醒了。"


@pytest.mark.parametrize(
    ("most", "kept"),
    [(31, "horror, science fiction, short"), (24, "horror, science fiction"), (22, "horror"), (3, "hor")],
)
def test_a_list_ends_after_an_entry(most: int, kept: str) -> None:
    assert cut("horror, science fiction, short", most, len, listed=True) == kept


TEXTS = st.text(alphabet=st.sampled_from(" ,.!?…\"')。aé葉ß1"), max_size=60) | st.text(max_size=60)


@given(text=TEXTS, most=st.integers(0, 70), listed=st.booleans())
def test_what_is_left_is_a_beginning_within_the_budget(text: str, most: int, listed: bool) -> None:
    kept = cut(text, most, len, listed=listed)
    assert text.startswith(kept)
    assert len(kept) <= most
    assert (kept == text) == (len(text) <= most)
    assert cut(kept, most, len, listed=listed) == kept


@given(
    entries=st.lists(st.text(alphabet="abc -", min_size=1).map(str.strip).filter(bool), min_size=1),
    most=st.integers(1, 80),
)
def test_no_entry_of_a_list_is_torn_where_the_first_fits(entries: list[str], most: int) -> None:
    kept = cut(", ".join(entries), most, len, listed=True)
    if len(entries[0]) <= most:
        n = len(kept.split(", "))
        assert kept == ", ".join(entries[:n])
        assert n == len(entries) or len(", ".join(entries[: n + 1])) > most


@given(
    sentences=st.lists(st.from_regex(re.compile(r"[a-z]{1,9}( [a-z]{1,9}){0,3}[.!?]"), fullmatch=True), min_size=1),
    most=st.integers(1, 99),
)
def test_no_sentence_is_torn_where_the_first_fits(sentences: list[str], most: int) -> None:
    kept = cut(" ".join(sentences), most, len)
    if len(sentences[0]) <= most:
        assert kept in [" ".join(sentences[:n]) for n in range(1, len(sentences) + 1)]
