"""What is told of items beside their titles."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ccf_llm.model.build import details_of
from ccf_llm.prompts.details import Detail, Details, columns_of, words_of
from ccf_llm.prompts.encoder import PromptEncoder
from ccf_llm.prompts.template import HybridTemplate

ABOUT = "You wake, alone. Nobody knows why. The door is locked."
ITEMS = pl.DataFrame(
    {
        "item_id": ["1", "2"],
        "title": ["Rain", "Sun"],
        "author": ["Ömer", ""],
        "tags": ["horror, science fiction, short", ""],
        "description": [ABOUT, ""],
    }
)


def words(text: str) -> int:
    return len(text.split())


def test_columns_are_told_in_order_with_words_around_them() -> None:
    details: Details = (
        Detail(column="author", before="by "),
        Detail(column="description", before="About: ", after=" (end)", most=7),
        Detail(column="tags", most=3),
        "tags",
    )
    assert columns_of(details) == ("author", "description", "tags", "tags")
    assert words_of(ITEMS, details, words) == [
        "by Ömer, About: You wake, alone. Nobody knows why. (end), horror, science fiction, " + ITEMS["tags"][0],
        "",
    ]


def test_a_name_alone_is_the_column_as_it_is() -> None:
    assert words_of(ITEMS, ("tags",), words) == ITEMS["tags"].to_list()
    long = pl.DataFrame({"about": ["a\nb " + "x" * 300]})
    assert words_of(long, ("about",), words) == ["a b " + "x" * 195 + "…"]
    assert words_of(long, (Detail(column="about", most=9),), words) == ["a b " + "x" * 300]


def test_titles_are_never_cut_for_the_budget_of_details(tiny_llm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    title = "A title of many words, which stands whole"
    told = details_of(ITEMS, (Detail(column="description", most=1),), tokenizer)
    assert told is not None
    encoder = PromptEncoder(tokenizer, HybridTemplate(), ["", title, title], ["", *told])
    assert title in tokenizer.decode([i for i in encoder.suffix(1) if i >= 0])


@pytest.fixture(scope="module")
def tokenizer(tiny_llm: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_llm)


@given(text=st.text(max_size=80), most=st.integers(1, 30), column=st.sampled_from(["tags", "description"]))
@settings(deadline=None)
def test_budgets_hold_in_tokens(tokenizer: PreTrainedTokenizerBase, text: str, most: int, column: str) -> None:
    (told,) = details_of(pl.DataFrame({column: [text]}), (Detail(column=column, most=most),), tokenizer) or [""]
    assert len(tokenizer.encode(f" {told}", add_special_tokens=False, split_special_tokens=True)) <= most or not told


@pytest.mark.parametrize(
    ("candidate_titles", "details", "expected"),
    [
        (True, None, "Rain"),
        (False, None, "Rain, horror"),
        (True, True, "Rain, horror"),
        (False, False, "Rain"),
    ],
)
def test_the_semantic_embedding_reads_details(
    tokenizer: PreTrainedTokenizerBase, candidate_titles: bool, details: bool | None, expected: str
) -> None:
    encoder = PromptEncoder(tokenizer, HybridTemplate(candidate_titles=candidate_titles), ["", "Rain"], ["", "horror"])
    assert encoder.text(1, details=details) == expected
    assert encoder.words(encoder.text(1, details=details)).tolist() == tokenizer.encode(
        f" {expected}", add_special_tokens=False
    )
