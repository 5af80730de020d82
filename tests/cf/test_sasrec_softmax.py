import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from retriever_suite import EVEN, N_ITEMS, NOBODY, ODD, RetrieverSuite, codes, tastes
from scipy.sparse import csr_matrix

import tiny
from ccf_llm.cf.kinds import load_retriever
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.sasrec_softmax import SASRecSoftmax
from ccf_llm.cf.sequence import Lesson, Sequences, States
from ccf_llm.cf.settings import SASRecSoftmaxConfig
from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError

SMALL = SASRecSoftmaxConfig(dim=8, history_length=12, horizon=3, epochs=6, learning_rate=0.02)


class TestSASRecSoftmax(RetrieverSuite):
    model_type = SASRecSoftmax
    config = SMALL
    dim = 9

    def test_order_does_not_matter(self, model: Retriever) -> None:
        """It does here: the scores differ by more than rounding."""
        assert not np.allclose(model.scores(EVEN[4::-1]), model.scores(EVEN[:5]), atol=1e-3)

    def test_scores_are_products_of_vectors_less_the_least(self, model: Retriever) -> None:
        histories = [EVEN[:4], ODD[:2]]
        products = model.history_vectors(histories) @ model.item_vectors()[:-1].T
        scores = model.scores_of(histories)
        np.testing.assert_allclose(scores[:, :-1], products - products.min(axis=1, keepdims=True), atol=1e-5)
        assert not scores[:, -1].any()  # what nobody likes


class TestDrawnRivals(RetrieverSuite):
    """The same with a softmax over 6 drawn items."""

    model_type = SASRecSoftmax
    config = SMALL.model_copy(update={"negatives": 6})
    dim = 9

    def test_order_does_not_matter(self, model: Retriever) -> None:
        assert not np.allclose(model.scores(EVEN[4::-1]), model.scores(EVEN[:5]), atol=1e-3)


def ring(people: int = 60, length: int = 6) -> tuple[csr_matrix, csr_matrix]:
    """Likes and their times: each person goes round 20 items, one after the other, from somewhere on."""
    likes, times = np.zeros((people + 1, N_ITEMS)), np.zeros((people + 1, N_ITEMS))
    for person in range(1, people + 1):
        walk = (person + np.arange(length)) % 20 + 1
        likes[person, walk], times[person, walk] = 1, 100 + np.arange(length)
    return csr_matrix(likes), csr_matrix(times)


def test_learns_what_comes_next_from_times() -> None:
    likes, times = ring()
    config = SMALL.model_copy(update={"horizon": 1, "epochs": 60, "dropout": 0.0, "item_dropout": 0.0})
    model = SASRecSoftmax.fit(likes, config=config, times=times)
    for walk in (codes(4, 5, 6), codes(15, 16, 17)):
        assert model.top([walk], 1, seen=[walk]).tolist() == [[walk[-1] + 1]]
    for walk in (codes(15, 4), codes(4, 15)):  # the same items, another one last
        after = model.scores(walk)
        assert after[walk[1]] > after[walk[0]]


def test_only_the_last_likes_are_read() -> None:
    model = SASRecSoftmax.fit(tastes(), config=SMALL.model_copy(update={"history_length": 3, "epochs": 1}))
    np.testing.assert_allclose(model.scores(EVEN[:5]), model.scores(EVEN[2:5]), rtol=1e-5, atol=1e-6)


def test_the_seed_decides_the_start() -> None:
    one, same, other = (
        SASRecSoftmax.fit(tastes(), config=SMALL.model_copy(update={"epochs": 1}), seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.items, same.items)
    assert not np.array_equal(one.items, other.items)


def test_each_pass_is_told() -> None:
    said: list[str] = []
    SASRecSoftmax.fit(tastes(), config=SMALL.model_copy(update={"epochs": 2}), progress=said.append)
    assert [line.partition(",")[0] for line in said] == ["sasrec_softmax: pass 1 of 2", "sasrec_softmax: pass 2 of 2"]
    assert said[-1].endswith(", 0 s left")


def test_a_state_sees_no_later_like_and_not_where_it_stands() -> None:
    states, vectors = States(SMALL).eval(), torch.randn(1, 7, 8)
    torch.nn.init.normal_(states.distances)
    known = torch.ones(1, 7, dtype=torch.bool)
    whole = states(vectors, known)
    torch.testing.assert_close(states(vectors[:, :4], known[:, :4]), whole[:, :4])
    torch.testing.assert_close(states(vectors, known, last=True), whole[:, -1])
    known[:, :3] = False  # padding says nothing, and distances are counted between items
    torch.testing.assert_close(states(vectors, known)[:, 3:], states(vectors[:, 3:], known[:, 3:]))
    assert not torch.allclose(states(vectors, known)[:, 3:], whole[:, 3:], atol=1e-3)


def lesson(sequences: list[Codes], **settings: int) -> Lesson:
    """Of sequences of codes up to 9."""
    flat = np.concatenate(sequences)
    held = Sequences(flat.astype(np.int32), np.cumsum([0, *map(len, sequences)]))
    return Lesson(held, np.bincount(flat, minlength=10)[1:], SMALL.model_copy(update=settings))


def test_windows_hold_every_place_once_and_aims_are_what_follows() -> None:
    long, short = np.arange(1, 10), codes(3, 1)
    order = np.random.default_rng(0)
    taught = lesson([long, short, codes(5)], history_length=3, horizon=2, batch_size=2)
    cuts = set()
    for _ in range(20):
        windows = np.concatenate(taught.windows(order)).tolist()
        assert sorted(at for held, begin, end in windows if held == 0 for at in range(begin, end)) == [*range(8)]
        assert [(begin, end) for held, begin, end in windows if held > 0] == [(0, 1)]
        cuts.add(min(begin for held, begin, end in windows if held == 0 and begin))
    assert cuts == {1, 2, 3}
    history, aims, own = taught._arrays(np.array([[0, 5, 8], [1, 0, 1]], dtype=np.int32))
    assert history.tolist() == [[6, 7, 8], [0, 0, 3]]
    assert aims.tolist() == [[[7, 8], [8, 9], [9, 0]], [[0, 0], [0, 0], [1, 0]]]
    assert own.tolist() == [[True] * 10, [code in (0, 1, 3) for code in range(10)]]


def test_windows_are_drawn_one_by_one() -> None:
    """So were they when the figures of older versions were made."""
    lengths = np.random.default_rng(1).integers(1, 10, 40)
    taught = lesson([np.arange(1, 1 + n) for n in lengths], history_length=3, batch_size=4)
    order, expected = np.random.default_rng(0), []
    for number in taught.order:
        places = int(lengths[number]) - 1
        begin = -int(order.integers(3)) if places > 3 else 0
        expected += [(number, max(at, 0), min(at + 3, places)) for at in range(begin, places, 3)]
    expected = sorted((expected[place] for place in order.permutation(len(expected))), key=lambda w: w[2] - w[1])
    batches = [expected[begin : begin + 4] for begin in range(0, len(expected), 4)]
    shuffled = [batches[place] for place in order.permutation(len(batches))]
    assert [list(map(tuple, batch.tolist())) for batch in taught.windows(np.random.default_rng(0))] == shuffled


def test_the_loss_is_the_softmax_of_each_aim_against_what_is_never_liked() -> None:
    torch.manual_seed(0)
    states, items, liked = States(SMALL).eval(), torch.randn(10, 9), codes(2, 7, 4)
    taught = lesson([liked, np.arange(1, 10)], horizon=2, item_dropout=0)
    read = states(items[None, liked[:2], :-1], torch.ones(1, 2, dtype=torch.bool))[0]
    logits = read @ items[:, :-1].T + items[:, -1]
    rest = [1, 3, 5, 6, 8, 9]

    def lacking(place: int, aim: int) -> torch.Tensor:
        return -torch.log_softmax(logits[place, [aim, *rest]], 0)[0]

    expected = ((lacking(0, 7) + lacking(0, 4)) / 2 + lacking(1, 4)) / 2
    order = np.random.default_rng(0)
    window = np.array([[0, 0, 2]], dtype=np.int32)
    torch.testing.assert_close(taught.loss(states, items, window, order), expected)
    # Many drawn items come to the same: the correction undoes that the popular ones are drawn more often.
    many, correction = lesson([liked, np.arange(1, 10), codes(8, 1), codes(8, 3)])._drawn(order, 200_000)
    weights = torch.zeros(10).index_add(0, many, (-correction).exp())
    torch.testing.assert_close(weights[1:], torch.ones(9), rtol=0.05, atol=0)


def test_a_damaged_network_is_refused(tmp_path: Path) -> None:
    model = SASRecSoftmax.fit(tastes(), config=SMALL.model_copy(update={"epochs": 1}))
    model.save(tmp_path / "cf")
    tiny.unseal(tmp_path / "cf")
    settings = tmp_path / "cf" / "cf.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"dim": 8', '"dim": 16'), encoding="utf-8")
    with pytest.raises(CCFError, match=re.escape("does not hold a sasrec_softmax model (network has")):
        load_retriever(tmp_path / "cf")


def test_a_training_that_diverges_is_said() -> None:
    with pytest.raises(CCFError, match=r"^learning_rate: training diverged at inf; choose a smaller one$"):
        SASRecSoftmax.fit(tastes(), config=SMALL.model_copy(update={"learning_rate": float("inf")}))


def test_one_like_each_leaves_popularity() -> None:
    likes = csr_matrix((np.ones(5), ([1, 2, 3, 4, 5], [2, 2, 3, 2, 1])), shape=(6, 5))
    model = SASRecSoftmax.fit(likes, config=SMALL)
    assert model.top([NOBODY], 2).tolist() == [[2, 1]]
    assert np.isfinite(model.scores(codes(3))).all()


def test_heads_share_out_the_width() -> None:
    with pytest.raises(ValidationError, match="3 heads cannot share out dim 8"):
        SASRecSoftmaxConfig(dim=8, heads=3)
