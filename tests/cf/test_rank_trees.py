"""Trees over a retriever's lists: what they read, what they learn, and the files they leave."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.tiny import make_dataset

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.clock import DAY
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.popularity import Popularity
from ccf_llm.cf.rank_features import Likes, RankFeatures
from ccf_llm.cf.rank_trees import RankTrees, lists_of_moments, training_lists
from ccf_llm.cf.settings import RankTreesConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets, like_times, likes_matrix, targets
from ccf_llm.data.moments import moments
from ccf_llm.data.split import global_time_split, user_time_split
from ccf_llm.errors import CCFError

CONFIG = RankTreesConfig(learning_rate=0.1, leaves=4, min_rows=5, l2=1.0, max_trees=40, candidates=20, folds=2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return user_time_split(make_dataset(400))


@pytest.fixture(scope="module")
def likes(dataset: Dataset) -> Likes:
    return Likes.of(likes_matrix(dataset, "train"), like_times(dataset, "train"))


@pytest.fixture(scope="module")
def words(dataset: Dataset) -> ItemWords:
    items = dataset.items.with_columns(genres=pl.Series(["war, comedy", "drama"] * (len(dataset.items) // 2)))
    return ItemWords.of(items, np.random.default_rng(0).normal(size=(len(dataset.items), 3)))


@pytest.fixture(scope="module")
def train(dataset: Dataset) -> Candidates:
    """Of a retriever that knows nothing of tastes."""
    return training_lists(dataset, Popularity, config=CONFIG)


@pytest.fixture(scope="module")
def valid(dataset: Dataset) -> Candidates:
    return Candidates.of(targets(dataset, "valid"), 20, Popularity.fit(likes_matrix(dataset, "train")))


@pytest.fixture(scope="module")
def test(dataset: Dataset) -> Candidates:
    return Candidates.of(targets(dataset, "test"), 20, Popularity.fit(likes_matrix(dataset, "train")))


@pytest.fixture(scope="module")
def trees(train: Candidates, valid: Candidates, likes: Likes, words: ItemWords) -> RankTrees:
    return RankTrees.fit(train, valid, likes, words=words, config=CONFIG)


def hits(lists: Candidates, scores: np.ndarray) -> float:
    """Share of the first three that are to be found."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    return float(np.take_along_axis(lists.relevant, best, axis=1).mean())


def test_they_learn_the_tastes_that_the_retriever_does_not_know(trees: RankTrees, test: Candidates) -> None:
    scores = trees.scores(test)
    assert hits(test, scores) > 1.2 * hits(test, test.scores)
    assert np.isneginf(scores[test.items == 0]).all()
    assert np.isfinite(scores[test.items > 0]).all()


def test_equal_arguments_give_equal_trees(
    trees: RankTrees, train: Candidates, valid: Candidates, likes: Likes, words: ItemWords
) -> None:
    again = RankTrees.fit(train, valid, likes, words=words, config=CONFIG)
    other = RankTrees.fit(train, valid, likes, words=words, config=CONFIG, seed=1)
    assert again.trees == trees.trees
    assert other.trees != trees.trees


def test_the_own_likes_that_are_to_be_found_are_not_counted(
    dataset: Dataset, train: Candidates, words: ItemWords
) -> None:
    """The features of a training list are those of counts without the person's later likes."""
    liked, times = likes_matrix(dataset, "train"), like_times(dataset, "train")
    likes = Likes.of(liked, times)
    found = RankFeatures.fit(likes, words).of(train, likes)
    person = int(np.argmax(train.relevant.sum(1)))
    user, history = train.asked.users[person], train.asked.histories[person]
    later = np.setdiff1d(liked[user].indices, history)
    cut = likes.all.toarray()
    lately = likes.recent.toarray()
    cut[user, later] = lately[user, later] = 0
    honest = RankFeatures.fit(Likes(type(liked)(cut), type(liked)(lately)), words)
    one = Candidates(
        Targets(np.array([0]), [history], [train.asked.seen[person]], [train.asked.items[person]]),
        train.items[[person]],
        train.scores[[person]],
        train.relevant[[person]],
    )
    for name, values in honest.of(one).items():
        np.testing.assert_allclose(found[name][person], values[0], rtol=1e-5, err_msg=name)
    counted = RankFeatures.fit(likes, words).of(train)
    assert not np.allclose(counted["popularity"], found["popularity"], equal_nan=True)


def test_features_are_what_a_count_by_hand_gives(words: ItemWords) -> None:
    liked = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 0]], dtype=np.int32)
    matrix = type(likes_matrix(user_time_split(make_dataset(60)), "train"))(liked)
    items = pl.DataFrame(
        {"item_id": ["a", "b", "c"], "title": ["A (1990)", "B (1995)", "C"], "genres": ["x, y", "y", "x"]}
    )
    asked = Targets(np.array([0]), [np.array([1, 2])], [np.array([1, 2])], [np.array([3])])
    one = Candidates(asked, np.array([[3, 0]]), np.array([[0.5, 0.0]], dtype=np.float32), np.array([[True, False]]))
    features = RankFeatures.fit(Likes.of(matrix), ItemWords.of(items, np.array([[1.0, 0], [0, 1], [-1, -1]])))
    found = {name: values[0] for name, values in features.of(one).items()}
    assert all(np.isnan(values[1]) for values in found.values())
    first, second = 1 / np.sqrt(3 * 2), 2 / np.sqrt(3 * 2)  # cosines of c with a and with b, which is the latest
    assert found["likeness to the last 1"][0] == pytest.approx(second)
    assert found["likeness to all"][0] == pytest.approx((first + second) / 2)
    older = 0.5**0.1
    assert found["likeness by recency"][0] == pytest.approx((second + older * first) / (1 + older))
    assert found["popularity"][0] == pytest.approx(np.log(3))
    assert found["categories of all"][0] == pytest.approx(0.5)  # x: one of two
    assert np.isnan(found["year"][0])
    assert found["words of all"][0] == pytest.approx(-np.sqrt(0.5))


def test_years_are_read_of_a_column_or_of_the_title() -> None:
    items = pl.DataFrame({"item_id": ["1", "2", "3"], "title": ["A (1990)", "B (1991)", "C"], "year": ["", "1995", ""]})
    np.testing.assert_array_equal(ItemWords.of(items).years, [np.nan, 1990, 1995, np.nan])


def test_without_words_nothing_is_read_of_them(
    train: Candidates, valid: Candidates, likes: Likes, words: ItemWords, trees: RankTrees
) -> None:
    plain = RankTrees.fit(train, valid, likes, words=words, config=CONFIG.model_copy(update={"words": False}))
    assert plain.names == RankTrees.fit(train, valid, likes, config=CONFIG).names
    assert set(trees.names) - set(plain.names) >= {"categories of all", "year", "words of all"}


def test_columns_from_outside_are_learned_from(
    train: Candidates, valid: Candidates, test: Candidates, likes: Likes
) -> None:
    columns = [{"oracle": lists.relevant.astype(np.float32)} for lists in (train, valid, test)]
    trees = RankTrees.fit(train, valid, likes, extra=(columns[0], columns[1]), config=CONFIG)
    assert trees.names[-1] == "oracle"
    best = np.sort(test.relevant, axis=1)[:, ::-1][:, :3].mean()
    assert hits(test, trees.scores(test, columns[2])) == pytest.approx(best)
    with pytest.raises(CCFError, match="column 'oracle' is not given everywhere; give oracle"):
        trees.scores(test)
    with pytest.raises(CCFError, match=r"'oracle' has shape \(1, 2\); give"):
        trees.scores(test, {"oracle": np.zeros((1, 2))})


def test_a_saved_model_scores_the_same(trees: RankTrees, test: Candidates, tmp_path: Path) -> None:
    trees.save(tmp_path / "cf")
    again = RankTrees.load(tmp_path / "cf")
    assert (again.config, again.names, again.extra) == (trees.config, trees.names, trees.extra)
    np.testing.assert_array_equal(again.scores(test), trees.scores(test))
    suffixes = {path.suffix for path in (tmp_path / "cf").iterdir()}
    assert suffixes == {".json", ".txt", ".safetensors"}


@pytest.mark.parametrize("file", ["trees.txt", "cf.safetensors"])
def test_a_damaged_file_is_named(trees: RankTrees, tmp_path: Path, file: str) -> None:
    trees.save(tmp_path / "cf")
    path = tmp_path / "cf" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(CCFError, match=rf"{file}: cut or damaged"):
        RankTrees.load(tmp_path / "cf")
    path.unlink()
    with pytest.raises(CCFError, match=rf"{file}: no such file"):
        RankTrees.load(tmp_path / "cf")


def test_lists_without_anything_to_find_are_refused(train: Candidates, valid: Candidates, likes: Likes) -> None:
    nothing = replace(train, relevant=np.zeros_like(train.relevant))
    with pytest.raises(CCFError, match="train: no list holds anything that is to be found"):
        RankTrees.fit(nothing, valid, likes, config=CONFIG)


def test_vectors_of_another_catalogue_are_refused(dataset: Dataset) -> None:
    with pytest.raises(CCFError, match=r"vectors: shape \(2, 3\) for 24 items"):
        ItemWords.of(dataset.items, np.ones((2, 3)))


@pytest.fixture(scope="module")
def by_time() -> Dataset:
    """Ten items come out every so often, and people like what is new, which the retriever does not know."""
    random, rows = np.random.default_rng(0), []
    for time in range(3000):
        newest = 1 + time // 300
        rows.append((f"u{random.integers(40)}", f"i{10 * newest - random.integers(15)}", time * DAY))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").unique(["user_id", "item_id"])
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(-5, 101)]})
    years = 1970 + (pl.int_range(-5, 101) - 1) // 10 * 300 / 365.2425
    items = items.with_columns(title="item_id", year=years.cast(pl.Int64).cast(pl.String))
    return global_time_split(Dataset.from_frames(frame.with_columns(label=pl.lit(1)), items))


def test_lists_of_moments_teach_that_what_is_new_is_liked(by_time: Dataset, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"candidates": 100})
    parts = moments(by_time, 6)
    then = lists_of_moments(parts, [Popularity.fit(likes_matrix(part, "train")) for part in parts], config)
    likes_then = likes_matrix(by_time, "train")
    likes = Likes.of(likes_then, like_times(by_time, "train"), clocked=True)
    retriever = Popularity.fit(likes_then)
    valid, test = (Candidates.of(targets(by_time, part), 100, retriever) for part in ("valid", "test"))
    trees = RankTrees.fit(then, valid, likes, words=ItemWords.of(by_time.items), config=config)
    assert {"years ago", "days since the first like", "likes of the last 30 days"} <= set(trees.names)
    scores = trees.scores(test)
    assert hits(test, scores) > 2 * hits(test, test.scores)
    trees.save(tmp_path / "cf")
    np.testing.assert_array_equal(RankTrees.load(tmp_path / "cf").scores(test), scores)
