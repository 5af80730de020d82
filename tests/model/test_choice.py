"""Conditional logit over lists."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ccf_llm.errors import CCFError
from ccf_llm.model.blend import Blend
from ccf_llm.model.choice import choice_losses, fit_choice, held_out_loss


def choices(weights: list[float], lists: int = 4000, m: int = 12) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Lists whose thing is chosen by these weights, and which one it is."""
    random = np.random.default_rng(0)
    columns = random.normal(size=(lists, m, len(weights)))
    chosen = (columns @ np.array(weights) + random.gumbel(size=(lists, m))).argmax(1)
    return columns, np.arange(m) == chosen[:, None]


def test_the_weights_that_choices_were_made_by_are_found_again() -> None:
    columns, relevant = choices([1.5, 0.5])
    assert fit_choice(columns, relevant) == pytest.approx([1.5, 0.5], abs=0.1)
    assert fit_choice(columns * [10, 0.1], relevant) == pytest.approx([0.15, 5.0], abs=0.5)


def test_places_without_a_thing_change_nothing() -> None:
    columns, relevant = choices([1.0], lists=300)
    padded = np.concatenate([columns, np.full((300, 5, 1), np.nan)], axis=1)
    wanted = np.concatenate([relevant, np.zeros((300, 5), dtype=bool)], axis=1)
    assert fit_choice(padded, wanted) == pytest.approx(fit_choice(columns, relevant), abs=1e-4)
    assert np.allclose(choice_losses(padded, wanted, np.ones(1)), choice_losses(columns, relevant, np.ones(1)))


def test_held_out_lists_show_that_noise_is_no_knowledge() -> None:
    columns, relevant = choices([1.0, 0.0], lists=60)
    assert held_out_loss(columns, relevant, [0]) < held_out_loss(columns, relevant)


def test_a_blend_of_lists_weighs_both_where_both_help() -> None:
    columns, relevant = choices([1.0, 2.0])
    blend = Blend()
    blend.fit_lists(*np.moveaxis(columns, -1, 0).astype(np.float32), relevant)
    a, b, c = blend.weights.tolist()
    assert (b, c) == pytest.approx((2.0, 0.0), abs=0.15)
    assert a / b == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("weights", [[0.0, 1.0], [-1.0, 1.0]])
def test_a_blend_of_lists_leaves_out_what_does_not_help(weights: list[float]) -> None:
    columns, relevant = choices(weights, lists=400)
    blend = Blend()
    blend.fit_lists(*np.moveaxis(columns, -1, 0).astype(np.float32), relevant)
    assert blend.weights[0] == 0
    assert blend.weights[1] > 0.5


def test_lists_without_anything_to_find_are_refused() -> None:
    scores = np.zeros((3, 4), dtype=np.float32)
    with pytest.raises(CCFError, match="no list holds an item that is to be found"):
        Blend().fit_lists(scores, scores, np.zeros((3, 4), dtype=bool))
