"""A greedy average: who is kept, who stays."""

import pytest
import torch

from ccf_llm.training.average import BestStates, greedy_average
from ccf_llm.training.objective import Measured


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([value])}


def kept(values: dict[int, float], most: int) -> BestStates:
    """States whose weight is the value that they were measured at."""
    best = BestStates(most)
    for step, value in values.items():
        best.offer(Measured(value, value, {}), step, state(value))
    return best


def test_the_best_are_kept_and_of_equal_ones_the_earlier() -> None:
    best = kept({0: 0.5, 10: 0.7, 20: 0.6, 30: 0.7, 40: 0.6}, most=3)
    assert [step for *_, step in best.ranks] == [10, 30, 20]
    assert list(best.states) == [10, 30, 20]


def test_what_is_kept_is_a_copy() -> None:
    best, weights = BestStates(1), state(0.5)
    best.offer(Measured(0.5, 0.5, {}), 0, weights)
    weights["weight"].fill_(9)
    assert best.states[0]["weight"].item() == 0.5


def test_a_state_stays_only_where_valid_does_not_fall() -> None:
    """The target is 3: of states 4, 2 and 1 the first two meet it, and the third would spoil it."""
    weights = state(0.0)

    def measure() -> Measured:
        value = -abs(float(weights["weight"]) - 3.0)
        return Measured(value, value, {"auc": value})

    best = BestStates(9, [(-1.0, -1.0, 4), (-1.5, -1.5, 2), (-2.0, -2.0, 1)], {s: state(s) for s in (4, 2, 1)})
    average, reached, trials = greedy_average(best, weights, measure)
    assert average["weight"].item() == 3.0
    assert reached == (0.0, 0.0)
    assert [(trial["step"], trial["stays"]) for trial in trials] == [(2, True), (1, False)]
    assert trials[1]["auc"] == pytest.approx(7 / 3 - 3)


def test_a_tie_stays_unless_the_language_model_alone_is_worse() -> None:
    weights = state(0.0)
    best = kept({1: 0.6, 2: 0.5}, most=2)
    for alone, stays in ((0.6, True), (0.5, False)):
        _, _, trials = greedy_average(best, weights, lambda alone=alone: Measured(0.6, alone, {}))
        assert [trial["stays"] for trial in trials] == [stays]


def test_where_nothing_helps_the_best_state_stays_to_the_last_bit() -> None:
    best = kept({1: 0.1 + 0.2, 2: 0.1}, most=2)
    average, reached, _ = greedy_average(best, state(0.0), lambda: Measured(0.0, 0.0, {}))
    assert torch.equal(average["weight"], torch.tensor([0.1 + 0.2]))
    assert reached == (0.1 + 0.2, 0.1 + 0.2)
