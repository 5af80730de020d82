"""A prefix is kept for the next call, and never read once anything that made it has changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm.attention import Prefix
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.scoring import PrefixCache, PrefixFiles, SharedPrefixScorer
from ccf_llm.scoring.cache import PrefixKey

CANDIDATES = np.array([5, 9, 14, 20])


def rows_of(history: list[int], user: int = 3) -> Rows:
    return Rows.for_candidates(np.array(history, dtype=np.int64), CANDIDATES, user=user)


@pytest.fixture
def network(make_network: Callable[..., CCFNetwork]) -> CCFNetwork:
    return tiny.stir(make_network(FusionConfig(hidden=16, dropout=0))).eval()


@pytest.fixture
def cached(network: CCFNetwork) -> SharedPrefixScorer:
    return SharedPrefixScorer(network, cache=PrefixCache())


def assert_fresh(cached: SharedPrefixScorer, rows: Rows) -> None:
    """Scores are those of a scorer that keeps nothing."""
    expected = SharedPrefixScorer(cached.network).language_scores(rows)
    np.testing.assert_allclose(cached.language_scores(rows), expected, rtol=0, atol=1e-5)


def test_a_user_who_comes_back_is_not_read_again(cached: SharedPrefixScorer) -> None:
    assert cached.cache is not None
    first = cached.language_scores(rows_of([1, 2, 3]))
    again = cached.language_scores(rows_of([1, 2, 3]))
    np.testing.assert_array_equal(first, again)
    assert (cached.cache.misses, cached.cache.hits, len(cached.cache)) == (1, 1, 1)


def test_users_of_one_batch_mix_known_and_new_prefixes(cached: SharedPrefixScorer) -> None:
    assert cached.cache is not None
    histories = [[1, 2], [4], [], [7, 8, 9, 10, 11]]
    likes = np.array([item for history in histories for item in history], dtype=np.int64)
    ends = np.cumsum([len(h) for h in histories])
    rows = Rows(
        users=np.repeat([1, 2, 3, 4], 2),
        items=np.array([5, 6, 7, 8, 9, 10, 11, 12]),
        labels=np.full(8, -1, dtype=np.int8),
        timestamps=np.zeros(8, dtype=np.int64),
        likes=likes,
        start=np.repeat(ends - [len(h) for h in histories], 2),
        end=np.repeat(ends, 2),
    )
    cached.language_scores(rows.take(slice(2, 4)))
    assert_fresh(cached, rows)
    assert (len(cached.cache), cached.cache.hits) == (4, 1)
    assert_fresh(cached, rows)


def test_a_new_like_is_read(cached: SharedPrefixScorer) -> None:
    before = cached.language_scores(rows_of([1, 2, 3]))
    assert_fresh(cached, rows_of([1, 2, 3, 4]))
    assert not np.allclose(before, cached.language_scores(rows_of([1, 2, 3, 4])), atol=1e-4)


def test_another_user_with_the_same_likes_is_read(cached: SharedPrefixScorer) -> None:
    cached.language_scores(rows_of([1, 2, 3], user=3))
    assert_fresh(cached, rows_of([1, 2, 3], user=4))


@pytest.mark.parametrize("part", ["lora", "fusion", "cf"])
def test_after_a_training_step_all_is_read_anew(cached: SharedPrefixScorer, part: str) -> None:
    """With a real optimizer, as training moves weights."""
    network, rows = cached.network, rows_of([1, 2, 3])
    before = cached.language_scores(rows)
    weights = list(network.part(part).values())  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(weights, lr=0.05)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert not np.allclose(before, cached.language_scores(rows), atol=1e-4)
    assert_fresh(cached, rows)


def test_with_new_fusion_networks_all_is_read_anew(cached: SharedPrefixScorer) -> None:
    cached.language_scores(rows_of([1, 2, 3]))
    cached.network.set_fusion(FusionConfig(hidden=16, variant="cf_only"), seed=5)
    assert_fresh(cached, rows_of([1, 2, 3]))


@pytest.mark.parametrize("where", ["memory", "files"])
def test_chains_of_words_alone_serve_any_fusion_over_one_adapter(
    where: str, make_network: Callable[..., CCFNetwork], tmp_path: Path
) -> None:
    """As in a comparison: the adapter is put back before each method, over which new networks are made."""
    template = HybridTemplate(slots="target")
    network = tiny.stir(make_network(FusionConfig(hidden=16), prompt=PromptConfig(template=template))).eval()
    cache = PrefixCache() if where == "memory" else PrefixFiles(tmp_path / "prefixes")
    cached, rows = SharedPrefixScorer(network, cache=cache), rows_of([1, 2, 3]).take(np.array([0]))
    before = cached.language_scores(rows)
    network.set_fusion(FusionConfig(hidden=16, variant="cf_only"), seed=5)
    with torch.no_grad():
        for weight in network.part("lora").values():
            weight.copy_(weight.clone())
    assert_fresh(cached, rows)
    assert not np.allclose(before, cached.language_scores(rows), atol=1e-4)
    assert (cache.misses, cache.hits) == (1, 2)
    assert cache.saved_seconds > 0
    tiny.stir(network)
    assert_fresh(cached, rows)
    assert cache.misses == 2


def test_files_hold_no_chain_with_slots_and_are_gone_afterwards(network: CCFNetwork, tmp_path: Path) -> None:
    left = tmp_path / "prefixes" / "left.safetensors"
    left.parent.mkdir()
    left.touch()  # by a process that was killed
    words = rows_of([]).take(np.array([0]))  # without likes there is no slot before the target
    with PrefixFiles(tmp_path / "prefixes") as cache:
        assert not left.exists()
        cached = SharedPrefixScorer(network, cache=cache)
        for _ in range(2):
            assert_fresh(cached, rows_of([1, 2, 3]))
        assert (len(cache), cache.hits) == (0, 0)
        for _ in range(2):
            assert_fresh(cached, words)
        assert (len(cache), cache.hits, len(list(cache.folder.iterdir()))) == (1, 1, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_a_prefix_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CCFError, match=r"cannot write .*file/prefixes/\w+\.safetensors"):
        PrefixFiles(tmp_path / "file" / "prefixes").put(PrefixKey(b"1", b"", b""), Prefix({0: (torch.zeros(1),) * 2}))


@pytest.mark.parametrize("where", ["memory", "files"])
def test_the_least_recently_used_goes_first_and_the_budget_holds(where: str, tmp_path: Path) -> None:
    def prefix(tokens: int) -> Prefix:
        return Prefix({0: (torch.zeros(1, 1, tokens, 4), torch.zeros(1, 1, tokens, 4))})

    keys = {name: PrefixKey(name.encode(), b"", b"") for name in "abcd"}
    size = 2 * prefix(10).nbytes
    cache = PrefixCache(max_bytes=size) if where == "memory" else PrefixFiles(tmp_path, max_bytes=size)
    for name in "ab":
        cache.put(keys[name], prefix(10))
    assert cache.get(keys["a"]) is not None
    cache.put(keys["c"], prefix(10))
    assert cache.get(keys["b"]) is None
    assert cache.get(keys["a"]) is not None
    cache.put(keys["d"], prefix(21))  # larger than the whole budget
    assert cache.get(keys["d"]) is None
    assert len(cache) == 2
    assert cache.nbytes == cache.max_bytes
    assert len(list(tmp_path.iterdir())) == (2 if where == "files" else 0)
