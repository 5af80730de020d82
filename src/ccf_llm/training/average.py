"""Greedy averaging of the best states of a stage (model soups, Wortsman et al. 2022)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ccf_llm.training.objective import Measured

State = dict[str, Tensor]
"""All weights that a stage trains, by name."""
Rank = tuple[float, float, int]
"""What decides, the same of the language model alone, and the step, of a measured state."""


@dataclass
class BestStates:
    """The best of the measured states, best first."""

    most: int
    """How many are kept; of equal ones the earlier."""
    ranks: list[Rank] = field(default_factory=list)
    states: dict[int, State] = field(default_factory=dict)
    """By step."""

    def offer(self, found: Measured, step: int, weights: State) -> None:
        """Keep a copy of the weights where they are among the best."""
        rank = (found.value, found.alone, step)
        self.ranks = sorted([*self.ranks, rank], key=lambda one: (-one[0], -one[1], one[2]))[: self.most]
        if rank in self.ranks:
            self.states[step] = {name: weight.detach().clone() for name, weight in weights.items()}
        self.states = {kept: self.states[kept] for *_, kept in self.ranks}


def greedy_average(
    best: BestStates, weights: State, measure: Callable[[], Measured]
) -> tuple[State, tuple[float, float], list[dict[str, float | None]]]:
    """Grow an average, best state first; a state stays in it where valid does not fall.

    Args:
        best: at least one state.
        weights: of the model, in place; what is in them afterwards is the last trial.
        measure: of what is in them, on the valid rows; it may fit some of them, such as the blend's, to these.

    Returns:
        The average, what was measured of it (the value and that of the language model alone), and for each trial
        `{"step", "stays", ...}` with the figures of the average with the state of that step in it. Where no second
        state stays, the average is the best state, to the last bit.
    """
    value, alone, first = best.ranks[0]
    average, reached, members = best.states[first], (value, alone), [best.states[first]]
    trials: list[dict[str, float | None]] = []
    for *_, step in best.ranks[1:]:
        state = best.states[step]
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(torch.stack([member[name].to(weight) for member in [*members, state]]).mean(0))
        found = measure()
        stays = (found.value, found.alone) >= reached
        trials.append({"step": step, "stays": stays, **found.point})
        if stays:
            members.append(state)
            reached = (found.value, found.alone)
            average = {name: weight.detach().clone() for name, weight in weights.items()}
    return average, reached, trials
