"""Prompts of the compared systems: slots of the target alone, examples, learned vectors, codes as text."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.codes import BinaryCodes
from ccf_llm.prompts.encoder import PromptEncoder
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.shots import Shot, draw_shots
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.scoring import PrefixCache, SharedPrefixScorer
from ccf_llm.scoring.reference import plain_scores

TITLES = ["", "Matrix, The (1999)", "Rain", "Sun, A (2004)"]
ONE = Rows.for_candidates(np.array([1, 2]), np.array([3]), user=1)


def prompt_of(network: CCFNetwork, encoder: PromptEncoder, rows: Rows = ONE) -> str:
    (sequence,) = plan_sequences(rows, encoder, network.budget)
    names = {-1: "[User]", -2: "[Item]"}
    ids = np.concatenate([sequence.chain, *sequence.suffixes])
    return "".join(names.get(int(i)) or ("[Learned]" if i < 0 else encoder.tokenizer.decode([int(i)])) for i in ids)


@pytest.fixture(scope="module")
def network(make_network: Callable[..., CCFNetwork]) -> CCFNetwork:
    return make_network()


def test_slots_of_the_target_alone(network: CCFNetwork) -> None:
    encoder = PromptEncoder(network.encoder.tokenizer, HybridTemplate(slots="target"), TITLES)
    assert prompt_of(network, encoder) == (
        "Will the user like the item? Answer Yes or No.\n"
        "The user liked: The Matrix (1999); Rain;\n"
        "[User] A Sun (2004)[Item]\n"
        "Answer:"
    )


def test_examples_open_the_prompt(network: CCFNetwork) -> None:
    shots = (Shot(history=(2,), item=1, liked=True), Shot(history=(1, 3), item=2, liked=False))
    template = HybridTemplate(slots="none", shots=2)
    encoder = PromptEncoder(network.encoder.tokenizer, template, TITLES, shots=shots)
    assert prompt_of(network, encoder) == (
        "Will the user like the item? Answer Yes or No.\n"
        "The user liked: Rain;\n The Matrix (1999)\nAnswer: Yes\n"
        "The user liked: The Matrix (1999); A Sun (2004);\n Rain\nAnswer: No\n"
        "The user liked: The Matrix (1999); Rain;\n A Sun (2004)\n"
        "Answer:"
    )


def test_codes_stand_beside_user_and_target_item(make_network: Callable[..., CCFNetwork]) -> None:
    prompt = PromptConfig(template=HybridTemplate(slots="none", codes=True))
    network = make_network(prompt=prompt)
    codes = BinaryCodes(network.cf)
    text = prompt_of(network, network.encoder)
    assert text.endswith(
        f"\nUser {codes.users(ONE)[0]}; {network.encoder.titles[3]}, {codes.items()[3]}, drama\nAnswer:"
    )
    assert text.count(".") == 1 + 3 + 3  # none in the history
    assert not network.blends


def test_examples_are_balanced_and_of_users_that_are_not_measured(tiny_data: Dataset) -> None:
    train = tiny_data.rows("train")
    measured = train.take(train.users > 20)
    shots = draw_shots(train, measured, 6, seed=0)
    assert [shot.liked for shot in shots] == [True, False] * 3
    assert all(0 < len(shot.history) <= 5 for shot in shots)
    of_others = train.take(train.users <= 20)
    pairs = set(zip(of_others.items.tolist(), (of_others.labels == 1).tolist(), strict=True))
    assert all((shot.item, shot.liked) in pairs for shot in shots)
    assert shots == draw_shots(train, measured, 6, seed=0) != draw_shots(train, measured, 6, seed=1)
    with pytest.raises(CCFError, match=r"template\.shots: 4 examples were asked for, but only 0 users"):
        draw_shots(train, train, 4, seed=0)


@pytest.fixture
def learned(make_network: Callable[..., CCFNetwork]) -> CCFNetwork:
    prompt = PromptConfig(template=HybridTemplate(slots="none", learned=3))
    return tiny.stir(make_network(FusionConfig(hidden=16), prompt=prompt))


def test_learned_vectors_open_the_prompt_and_get_the_gradient(learned: CCFNetwork) -> None:
    assert prompt_of(learned, learned.encoder).startswith("[Learned][Learned][Learned]Will the user")
    assert learned.part("prompt")["vectors"].shape == (3, learned.llm.width)
    table = learned.llm.embeddings.weight
    assert all((table == vector).all(1).any() for vector in learned.prompt)  # they start as embeddings of tokens
    learned.requires_grad_(False)
    learned.prompt.requires_grad_(True)
    sequences = plan_sequences(ONE, learned.encoder, learned.budget)
    (gradient,) = torch.autograd.grad(learned(sequences, ONE).sum(), [learned.prompt])
    assert gradient.abs().sum(1).min() > 0


def test_each_learned_vector_has_its_place_and_the_cache_knows_of_it(learned: CCFNetwork, tiny_data: Dataset) -> None:
    rows = tiny_data.rows("test").take(slice(0, 8))
    scorer = SharedPrefixScorer(learned, cache=PrefixCache())
    before = scorer.language_scores(rows)
    np.testing.assert_allclose(before, plain_scores(learned, rows, exact=True).numpy(), rtol=0, atol=1e-5)
    with torch.no_grad():
        learned.prompt.copy_(learned.prompt.flip(0))
    turned = scorer.language_scores(rows)
    assert np.abs(turned - before).max() > 1e-4
    np.testing.assert_allclose(turned, plain_scores(learned, rows, exact=True).numpy(), rtol=0, atol=1e-5)


def test_a_template_without_learned_vectors_has_no_such_part(network: CCFNetwork) -> None:
    assert network.part("prompt") == {}


def test_true_and_false_say_all_and_none() -> None:
    assert HybridTemplate.model_validate({"slots": True}) == HybridTemplate()
    assert HybridTemplate.model_validate({"slots": False}).slots == "none"


def test_rows_of_users_without_a_history_give_no_example(tiny_data: Dataset) -> None:
    train = tiny_data.rows("train")
    bare = replace(train, end=train.start)
    with pytest.raises(CCFError, match="only 0 users"):
        draw_shots(bare, train.take(slice(0, 0)), 2, seed=0)
