"""A model that is told of its users."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from transformers import AutoTokenizer

import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.fusion.slots import to_norm
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.model.build import build_network, told_by_code
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.users import UserDetails
from ccf_llm.recommend.explain import explain
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.scoring import PrefixCache, SharedPrefixScorer
from ccf_llm.scoring.reference import plain_scores

TOLD: UserDetails = ("age", "gender")
INFO = ModelInfo(details=("genres",), user_details=TOLD, dtype="float32")
ITEMS = np.arange(1, 13)
NO_LIKES = np.zeros(0, dtype=np.int64)


@pytest.fixture(scope="module")
def people(tiny_data: Dataset) -> Dataset:
    """The data with a table of users, in which the last one's fields are empty and somebody has met nothing yet."""
    ids = [*tiny_data.user_vocabulary.ids, "never met"]
    users = pl.DataFrame(
        {
            "user_id": ids,
            "age": [*(20 + n for n in range(len(ids) - 2)), None, 71],
            "gender": [*("MF"[n % 2] for n in range(len(ids) - 2)), "None", "F"],
            "zip_code": ["85711"] * len(ids),
        }
    )
    told = Dataset.from_frames(tiny_data.interactions.drop("split"), tiny_data.items, users=users, name="people")
    return replace(tiny_data, users=told.users)


def vectors_of(texts: list[str], words: str, *, keep: bool) -> np.ndarray:
    """A made-up sentence encoder."""
    return np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=12) for text in texts]).astype("f")


@pytest.fixture(scope="module", params=["tokens", "sentences", "hidden:1"])
def network(request: pytest.FixtureRequest, tiny_llm: Path, tiny_mf: MF, people: Dataset) -> Iterator[CCFNetwork]:
    users = told_by_code(people.users, people.user_vocabulary, TOLD, AutoTokenizer.from_pretrained(tiny_llm))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccf_llm.model.network.sentence_vectors", vectors_of)
        network = build_network(
            people.items,
            tiny_mf,
            llm=LLMConfig(model=str(tiny_llm), dtype="float32", device="cpu"),
            prompt=PromptConfig(),
            fusion=FusionConfig(hidden=16, semantic=request.param),
            details=("genres",),
            seed=0,
            users=users,
        )
        yield tiny.stir(network).eval()


@pytest.fixture(scope="module")
def model(network: CCFNetwork, people: Dataset) -> CCFLLM:
    return CCFLLM(network, people.user_vocabulary, people.items, INFO)


def scores_of(network: CCFNetwork, words: str | None, history: np.ndarray = NO_LIKES, user: int = 0) -> np.ndarray:
    rows = Rows.for_candidates(history, ITEMS, user=user, user_words=words)
    return SharedPrefixScorer(network).language_scores(rows)


def test_words_are_known_by_code(network: CCFNetwork, people: Dataset) -> None:
    words = network.encoder.users
    assert words[:3] == ["", "in their twenties, male", "in their twenties, female"]
    assert words[-1] == ""
    assert len(words) == len(people.user_vocabulary) + 1
    assert not any("None" in text or "85711" in text for text in words)


def test_a_cold_users_scores_move_with_the_words(network: CCFNetwork) -> None:
    nothing, child, woman = (scores_of(network, words) for words in (None, "a child", "in their sixties, female"))
    np.testing.assert_array_equal(nothing, scores_of(network, ""))
    assert np.abs(child - nothing).max() > 1e-3
    assert np.abs(child - woman).max() > 1e-3
    assert (child - child.mean())[:].std() > 0
    assert np.abs((child - child.mean()) - (woman - woman.mean())).max() > 1e-4  # also their order may


def test_scores_equal_those_of_separate_prompts(network: CCFNetwork) -> None:
    asked = [(0, "a child"), (0, "female"), (0, None), (1, None), (1, "male"), (1, "")]
    parts = [
        Rows.for_candidates(np.array(likes, dtype=np.int64), ITEMS[:4], user=user, user_words=words)
        for user, words in asked
        for likes in ([], [3, 5, 7])
    ]
    rows = Rows.concat(parts)
    plain = plain_scores(network, rows).numpy()
    cached = SharedPrefixScorer(network, cache=PrefixCache())
    for scorer in (SharedPrefixScorer(network), cached, cached):
        np.testing.assert_allclose(scorer.language_scores(rows), plain, rtol=0, atol=1e-5)
    alone = np.concatenate([cached.language_scores(part) for part in parts])
    np.testing.assert_allclose(alone, plain, rtol=0, atol=1e-5)


def test_what_is_told_counts_as_one_like_more(network: CCFNetwork) -> None:
    """The semantic embedding of a user, as the fusion of a user's slot reads it."""
    read: list[torch.Tensor] = []
    hook = network.fusion.user.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    cold, warm, plain = (
        Rows.for_candidates(np.array(likes, dtype=np.int64), ITEMS[:1], user_words=words)
        for likes, words in (([], "a child"), ([3, 5], "a child"), ([3, 5], None))
    )
    for rows in (cold, warm, plain):
        network.fuse_users(rows, network.cf)
    hook.remove()
    own = network._said_of_users(["a child"])[0]
    likes = network.semantic[[3, 5]]
    for found, mean in zip(read, (own, (own + likes.sum(0)) / 3, likes.mean(0)), strict=True):
        expected = to_norm(network.fusion.read(mean[None]), network.token_norm)
        torch.testing.assert_close(found, expected)


def test_a_model_that_is_told_nothing_is_as_ever(
    make_network: Callable[..., CCFNetwork], people: Dataset, tmp_path: Path
) -> None:
    plain = tiny.stir(make_network()).eval()
    rows = people.rows("test").take(slice(0, 30))
    before = SharedPrefixScorer(plain).score(rows)
    model = CCFLLM(plain, people.user_vocabulary, people.items, ModelInfo(details=("genres",), dtype="float32"))
    assert model.user_words(people) == {}
    pairs = people.interactions.head(12).select("user_id", "item_id")
    without = replace(people, users=None)
    assert_frame_equal(model.score(pairs, people), model.score(pairs, without), check_exact=True)
    plain.encoder.users = [""] * (tiny.N_USERS + 1)
    np.testing.assert_array_equal(SharedPrefixScorer(plain).score(rows), before)
    model.save(tmp_path / "model")
    assert not (tmp_path / "model" / "user_words.parquet").exists()
    assert "people's data" not in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(CCFError, match=r"^about: 'age' is not told; this model reads nothing of users; leave it out$"):
        model.words_about({"age": 3})


def test_words_are_saved_and_nothing_else_of_people(model: CCFLLM, people: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    tiny.unseal(tmp_path / "model")
    saved = pl.read_parquet(tmp_path / "model" / "user_words.parquet")
    assert saved.columns == ["user_id", "words"]
    assert len(saved) == len(people.user_vocabulary) - 1  # of one nothing is known
    assert saved["words"][0] == "in their twenties, male"
    assert "`user_words.parquet`), by age, gender" in (tmp_path / "model" / "README.md").read_text()
    loaded, rows = CCFLLM.load(tmp_path / "model"), people.rows("test").take(slice(0, 30))
    np.testing.assert_array_equal(loaded.score_rows(rows), model.score_rows(rows))
    assert loaded.info.user_details == TOLD
    saved.with_columns(user_id=pl.lit("nobody")).write_parquet(tmp_path / "model" / "user_words.parquet")
    with pytest.raises(CCFError, match=r"user_words\.parquet: not what was told of this model's users"):
        CCFLLM.load(tmp_path / "model")
    (tmp_path / "model" / "user_words.parquet").unlink()
    with pytest.raises(CCFError, match=r"user_words\.parquet: no such file"):
        CCFLLM.load(tmp_path / "model")


def test_new_items_leave_words_as_they_are(model: CCFLLM) -> None:
    grown = model.with_items(pl.DataFrame({"item_id": ["new"], "title": ["a ship"], "genres": [""]}))
    np.testing.assert_allclose(
        scores_of(grown.network, None, user=2), scores_of(model.network, None, user=2), rtol=0, atol=1e-5
    )


def test_the_data_set_says_what_is_known_now(model: CCFLLM, people: Dataset) -> None:
    user, newcomer = people.user_vocabulary.ids[0], "never met"
    pairs = pl.DataFrame({"user_id": [user, newcomer] * 6, "item_id": people.items["item_id"][:12]})
    assert people.users is not None
    same, gone = (
        model.score(pairs, replace(people, users=users))["score"].to_numpy() for users in (people.users, None)
    )
    np.testing.assert_allclose(same[::2], gone[::2], rtol=0, atol=1e-5)  # the model has kept these
    assert np.abs(same[1::2] - gone[1::2]).max() > 1e-3  # and never knew those
    blank = people.users.with_columns(age=pl.lit(""), gender=pl.lit(""))
    withdrawn = model.score(pairs, replace(people, users=blank))["score"].to_numpy()
    assert np.abs(same[::2] - withdrawn[::2]).max() > 1e-3


def test_recommendations_read_what_is_told(model: CCFLLM, people: Dataset) -> None:
    recommender = Recommender(model, people)
    user = people.user_vocabulary.ids[0]
    assert recommender.person(user).words == "in their twenties, male"
    assert recommender.person("never met").words == "in their seventies, female"
    about = {"age": 34, "gender": None}
    person = recommender.stranger(["i1"], about)
    assert person.words == "in their thirties"
    plain = recommender.recommend_for_history(["i1"], order="fused").sort("item_id")
    told = recommender.recommend_for_history(["i1"], about=about).sort("item_id")
    assert plain["score"].to_list() != told["score"].to_list()
    items = told["item_id"].to_list()
    reranked = recommender.rerank(["i1"], items, about=about).sort("item_id")
    np.testing.assert_allclose(reranked["score"], told["score"], atol=1e-5)
    by_user = recommender.rerank(None, items, user=user).sort("item_id")
    likes = [people.items["item_id"][int(code) - 1] for code in recommender.person(user).history]
    np.testing.assert_allclose(recommender.rerank(likes, items, user=user).sort("item_id")["score"], by_user["score"])
    assert explain(recommender, person, items[:2])["item_id"].is_in(items).all()
    with pytest.raises(CCFError, match=r"^about: 'zip_code' is not told; this model reads age, gender; leave it out$"):
        recommender.recommend_for_history(["i1"], about={"zip_code": "85711"})
