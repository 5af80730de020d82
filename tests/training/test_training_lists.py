"""Lists to learn from, and the losses over them."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from ccf_llm.cf.candidates import Candidates
from ccf_llm.data.likes import Targets
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.training.lists import draw_lists
from ccf_llm.training.ranking import list_losses, rating_losses
from ccf_llm.training.stage import ListConfig

ITEMS = 30


def cells(pairs: dict[int, list[int]]) -> csr_matrix:
    matrix = np.zeros((4, ITEMS + 1), dtype=np.float32)
    for user, items in pairs.items():
        matrix[user, items] = 1
    return csr_matrix(matrix)


LIKED = cells({1: [1, 2, 3, 4], 2: [5, 6], 3: [7]})
DISLIKED = cells({1: [20, 21, 22, 9], 2: [23]})


def found() -> Candidates:
    """Three users; the third has nothing to be found. User 1 had met item 9 before."""
    items = np.array([np.arange(3, 17), np.arange(6, 20), np.arange(8, 22)])
    wanted = [np.array([3, 4]), np.array([6]), np.array([29])]
    asked = Targets(
        np.array([1, 2, 3]),
        histories=[np.array([1, 2]), np.array([5]), np.array([7])],
        seen=[np.array([1, 2, 9]), np.array([5]), np.array([7])],
        items=wanted,
    )
    relevant = np.array([np.isin(row, want) for row, want in zip(items, wanted, strict=True)])
    return Candidates(asked, items, -items.astype(np.float32), relevant)


def lists(config: ListConfig, seed: int = 0) -> Rows:
    return draw_lists(found(), LIKED, DISLIKED, np.ones(ITEMS), config, seed)


def test_what_is_to_be_found_comes_first_and_nothing_else_is_liked() -> None:
    rows = lists(ListConfig(size=8, positives=3, popular=0.2))
    assert rows.users.tolist() == [1] * 8 + [2] * 8
    assert rows.labels.tolist() == [1, 1] + [0] * 6 + [1] + [0] * 7
    for begin in (0, 8):
        items, user = rows.items[begin : begin + 8], rows.users[begin]
        assert len(set(items)) == 8
        assert not LIKED[user].toarray()[0][items[rows.labels[begin : begin + 8] == 0]].any()


def test_dislikes_that_came_later_can_be_among_the_others() -> None:
    rows = lists(ListConfig(size=8, positives=3, popular=0.0, dislikes=2))
    first, second = rows.items[:8], rows.items[8:]
    assert len(set(first) & {20, 21, 22}) == 2
    assert 9 not in first[:4]  # met before: it may be a candidate, but is none of the dislikes that are drawn
    assert 23 in second
    without = lists(ListConfig(size=8, positives=3, popular=0.0))
    assert not set(without.items) & {20, 21, 22, 23}


def test_lists_that_cannot_be_filled_are_named() -> None:
    with pytest.raises(CCFError, match=r"lower ranking\.size or raise ranking\.depth"):
        lists(ListConfig(size=25, positives=1, popular=0.0))
    with pytest.raises(ValueError, match="positives and dislikes: 8 fill a list of 8"):
        ListConfig(size=8, positives=4, dislikes=4)


def test_the_rating_loss_is_of_what_people_have_said_alone() -> None:
    scores = torch.tensor([[2.0, -1.0, 5.0], [0.5, 0.0, 0.0]])
    liked = torch.tensor([[True, False, False], [True, False, False]])
    disliked = torch.tensor([[False, True, False], [False, False, False]])
    losses = rating_losses(scores, liked, disliked)
    right = torch.nn.functional.softplus(torch.tensor([-2.0, -1.0, -0.5]))
    assert losses.tolist() == pytest.approx([right[:2].mean().item(), right[2].item()])


def test_a_list_loss_is_the_cross_entropy_against_what_is_not_wanted() -> None:
    scores = torch.tensor([[1.0, 0.5, 0.0, -1.0]])
    wanted = torch.tensor([[True, True, False, False]])
    others = scores[0, 2:].exp().sum()
    right = [-(torch.log(s.exp() / (s.exp() + others))) for s in scores[0, :2]]
    assert list_losses(scores, wanted).item() == pytest.approx(float(sum(right)) / 2, abs=1e-6)
