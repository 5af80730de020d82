"""A packed sequence is the same as one prompt per target: scores and gradients."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.network import ROUND, CCFNetwork
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.pack import Sequence, plan_batches, plan_sequences, split_targets
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.scoring.reference import plain_log_odds, plain_scores

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEMPLATES = {
    "titles": HybridTemplate(),
    "slots alone": HybridTemplate(history_titles=False),
    "target slot alone": HybridTemplate(candidate_titles=False),
    "no titles at all": HybridTemplate(history_titles=False, candidate_titles=False),
    "the item answers": HybridTemplate(answer_at="item"),
    "the slot answers": HybridTemplate(history_titles=False, candidate_titles=False, answer_at="item"),
    "words alone": HybridTemplate(slots=False),
    "request at the end": HybridTemplate(request_first=False),
    "users told": HybridTemplate(),
    "users told, words alone": HybridTemplate(slots=False, request_first=False),
}
TOLD = ["", "in their teens, male", "red rain <|endoftext|>", "female"]


@pytest.fixture(
    scope="module",
    params=[*TEMPLATES, "sliding windows", "odds shown", "slots lifted", "slots lifted in sliding windows"],
)
def network(
    request: pytest.FixtureRequest, tiny_llm: Path, tiny_gemma: Path, tiny_data: Dataset, tiny_mf: MF
) -> CCFNetwork:
    template, llm = (
        TEMPLATES.get(request.param, HybridTemplate()),
        tiny_gemma if "sliding windows" in request.param else tiny_llm,
    )
    prompt = PromptConfig(template=template, history=HistoryBudget(items=6, tokens=60, step=3))
    lifted = request.param.startswith("slots lifted")
    fusion = FusionConfig(hidden=16, dropout=0, odds=request.param == "odds shown", depth_bias=lifted)
    network = tiny.stir(tiny.make_network(llm, tiny_data, tiny_mf, fusion, prompt=prompt)).eval()
    if request.param.startswith("users told"):
        network.encoder.users = [TOLD[user % 4] for user in range(tiny.N_USERS + 1)]
    return network


@st.composite
def rows_of_users(draw: st.DrawFn) -> Rows:
    """Rows of up to 4 users in any order, with repeated, empty and equal histories, and unknown users and items.

    Of some rows it is told who asks, also of users with the same code.
    """
    users, items, start, end, likes = [], [], [], [], []
    for user in range(draw(st.integers(1, 4))):
        liked = draw(st.lists(st.integers(0, tiny.N_ITEMS), max_size=9))
        for _ in range(draw(st.integers(1, 5))):
            users.append(draw(st.sampled_from([0, user + 1])))
            items.append(draw(st.integers(0, tiny.N_ITEMS)))
            start.append(len(likes))
            end.append(len(likes) + draw(st.integers(0, len(liked))))
        likes += liked
    n = len(users)
    order = np.array(draw(st.permutations(range(n))))
    numbers = [np.array(column, dtype=np.int64) for column in (users, items, start, end)]
    users_, items_, start_, end_ = (column[order] for column in numbers)
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), dtype=np.int8)
    told = draw(st.none() | st.lists(st.sampled_from([None, *TOLD]), min_size=n, max_size=n))
    words = None if told is None else np.array(told, dtype=object)
    return Rows(users_, items_, labels, np.arange(n), np.array(likes, dtype=np.int64), start_, end_, words)


@quick
@given(rows=rows_of_users(), memory=st.sampled_from([0, 1, 512]))
def test_scores_equal_those_of_separate_prompts(network: CCFNetwork, rows: Rows, memory: int) -> None:
    fast = SharedPrefixScorer(network, memory_mb=memory).language_scores(rows)
    np.testing.assert_allclose(fast, plain_scores(network, rows).numpy(), rtol=0, atol=1e-5)


@settings(quick, max_examples=8)
@given(
    rows=rows_of_users(), limit=st.integers(160, 900), most=st.none() | st.integers(1, 3), tokens=st.integers(100, 2000)
)
def test_gradients_equal_those_of_separate_prompts(
    network: CCFNetwork, rows: Rows, limit: int, most: int | None, tokens: int
) -> None:
    sequences = plan_sequences(rows, network.encoder, network.budget, max_tokens=limit, max_rows=most)
    packed = gradients(network, rows, network, plan_batches(sequences, batch_tokens=tokens))
    prompts = plan_sequences(rows, network.encoder, network.budget, max_rows=1)
    exactly = partial(plain_log_odds, network, exact=True)  # fused attention is as far from it as the bound
    alone = [gradients(network, rows, exactly, [[prompt]]) for prompt in prompts]
    assert packed.keys() == set().union(*alone)
    for name, found in packed.items():
        parts = [one[name] for one in alone if name in one]
        # Rounding is of the parts: those of a like and a dislike of the same item all but cancel out.
        bound = 1e-5 * sum(float(part.norm()) for part in parts) + 1e-7
        assert float((found - sum(parts)).norm()) <= bound, name


def gradients(
    network: CCFNetwork,
    rows: Rows,
    log_odds: Callable[[list[Sequence], Rows], torch.Tensor],
    batches: list[list[Sequence]],
) -> dict[str, torch.Tensor]:
    """Of the summed cross-entropy, by weight."""
    weights = {**network.part("lora"), **network.part("fusion"), **network.part("cf")}
    network.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
        weight.grad = None
    network.llm.products.undo()
    for group in batches:
        labels = torch.from_numpy(rows.labels[[row for s in group for row in s.rows]]).float()
        F.binary_cross_entropy_with_logits(log_odds(group, rows), labels, reduction="sum").backward()
    return {name: weight.grad for name, weight in weights.items() if weight.grad is not None}


def candidates_of(history: list[int], candidates: list[int]) -> Rows:
    return Rows.for_candidates(np.array(history, dtype=np.int64), np.array(candidates), user=3)


@quick
@given(
    history=st.lists(st.integers(1, tiny.N_ITEMS), max_size=8),
    candidates=st.lists(st.integers(1, tiny.N_ITEMS), min_size=2, max_size=12, unique=True),
    data=st.data(),
)
def test_other_candidates_do_not_change_a_score(
    network: CCFNetwork, history: list[int], candidates: list[int], data: st.DataObject
) -> None:
    scores = dict(zip(candidates, SharedPrefixScorer(network).score(candidates_of(history, candidates)), strict=True))
    some = data.draw(st.permutations(candidates))[: data.draw(st.integers(1, len(candidates)))]
    again = SharedPrefixScorer(network).score(candidates_of(history, some))
    np.testing.assert_allclose(again, [scores[item] for item in some], rtol=0, atol=1e-5)


@quick
@given(
    rows=rows_of_users(), limit=st.integers(160, 900), most=st.none() | st.integers(1, 3), batch=st.integers(32, 2000)
)
def test_every_row_is_planned_once_within_the_limits(
    network: CCFNetwork, rows: Rows, limit: int, most: int | None, batch: int
) -> None:
    sequences = plan_sequences(rows, network.encoder, network.budget, max_tokens=limit, max_rows=most)
    assert all(most is None or len(s.rows) <= most for s in sequences)
    assert sorted(row for s in sequences for row in s.rows) == list(range(len(rows)))
    assert all(len(s) <= limit for s in sequences)
    words = network.encoder.user_words(rows)
    assert all(len({(rows.users[row], rows.start[row], words[row]) for row in s.rows}) == 1 for s in sequences)
    batches = plan_batches(sequences, batch_tokens=batch)
    assert sorted(id(s) for group in batches for s in group) == sorted(map(id, sequences))
    assert all(len(group) == 1 or sum(map(len, group)) <= batch for group in batches)
    for sequence in sequences:
        parts = split_targets(sequence, batch_tokens=batch)
        assert sorted(row for part in parts for row in part.rows) == sorted(sequence.rows)
        assert all(len(part.rows) == 1 or sum(map(len, part.suffixes)) <= batch for part in parts)


def test_a_users_rows_share_one_sequence(network: CCFNetwork) -> None:
    rows = candidates_of([1, 2, 3], [4, 5, 6, 7])
    packed, separate = (
        plan_sequences(rows, network.encoder, network.budget, max_tokens=900, max_rows=most) for most in (None, 1)
    )
    assert (len(packed), len(separate)) == (1, 4)
    assert len(packed[0]) < sum(map(len, separate))


def test_what_does_not_fit_names_the_remedy(network: CCFNetwork) -> None:
    with pytest.raises(CCFError, match=r"exceeds the limit of 20; lower history\.tokens or raise batch"):
        plan_sequences(candidates_of([], [1]), network.encoder, network.budget, max_tokens=20)


def test_nothing_to_score(network: CCFNetwork) -> None:
    assert SharedPrefixScorer(network).score(candidates_of([1], []).take(slice(0, 0))).shape == (0,)


def test_progress_counts_every_row(network: CCFNetwork) -> None:
    seen: list[int] = []
    SharedPrefixScorer(network, memory_mb=0).score(candidates_of([1, 2], list(range(1, 20)) * 8), seen.append)
    assert sum(seen) == 8 * 19
    assert len(seen) > 1


def test_what_is_learned_from_comes_in_few_sizes(network: CCFNetwork, tiny_data: Dataset) -> None:
    rows = tiny_data.rows("train").take(np.arange(40))
    packs = plan_sequences(rows, network.encoder, network.budget, max_tokens=500)
    sizes: list[int] = []
    hook = network.llm.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    read = network.read(packs, rows)
    with torch.no_grad():
        torch.testing.assert_close(network.read(packs, rows), read)
    hook.remove()
    assert sizes[0] % ROUND == 0
    assert sizes[1] == sum(map(len, packs)) > sizes[0] - ROUND
