"""Scoring many candidates of a user: the plain way, then each technique on top of those before it."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ccf_llm.bench.machine import fastest, matmul_peak
from ccf_llm.bench.setting import Setting
from ccf_llm.data.rows import Rows
from ccf_llm.experiments.cost import peak_rss_mb
from ccf_llm.io.progress import Say
from ccf_llm.llm.runtime import choose_device, choose_dtype
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.scoring import PrefixCache, SharedPrefixScorer
from ccf_llm.scoring.reference import plain_log_odds, plain_scores, plan_prompts

LONG = HybridTemplate(request_first=False)
"""The paper's order of fields: the request follows the target item, in every suffix."""
SHORT = HybridTemplate()
POOLED = HybridTemplate(history_titles=False)
HISTORY = HistoryBudget(items=60, tokens=190, step=1)
"""The newest likes, up to 190 tokens of titles and slots."""
PLAIN_PROMPTS = 16
"""So many prompts of each user are scored the plain way; its speed does not depend on their number."""
SECONDS = 6.0
"""Each technique runs for at least so long; the shortest call counts."""
MEASURED = 200
"""Techniques are compared on so many candidates of each user; more are scored once, by the fast way alone."""
COMPARED = 24
"""So many scores are compared with the plain way's."""


def bench_scoring(setting: Setting, *, candidates: int = 32, users: int = 1, say: Say = print) -> dict[str, Any]:
    """Candidates per second of every technique, how far scores move, memory and the share of the peak.

    Raises:
        CCFError: the data has not so many users.
    """
    device = choose_device(setting.device)
    dtype = choose_dtype("auto", device)
    readers = setting.readers(users)
    everything = [setting.candidates(user, history, candidates) for user, history in readers]
    work = [rows.take(slice(0, MEASURED)) for rows in everything]
    few = [rows.take(slice(0, PLAIN_PROMPTS)) for rows in work]
    compared = [rows.take(slice(0, COMPARED)) for rows in work]
    steps: list[dict[str, Any]] = []

    def step(name: str, score: Callable[[Rows], object], batches: list[Rows], kind: torch.dtype) -> float:
        # The fast ones for longer: the shortest of many short calls stands against the peak, which is one too.
        seconds = fastest(lambda: [score(rows) for rows in batches], device, seconds=SECONDS)
        rate = sum(map(len, batches)) / seconds
        steps.append({"technique": name, "dtype": str(kind).removeprefix("torch."), "per_s": round(rate, 3)})
        say(f"{name}: {rate:.1f} candidates/s")
        return rate

    # Precise: what is compared with the plain way, bit for bit.
    network = setting.network("float32", LONG, HISTORY)
    naive = step("plain: one prompt each, batch 8, all logits", lambda r: plain_scores(network, r), few, torch.float32)
    step("two answers at the last position", lambda r: _two_answers(network, r), few, torch.float32)
    shared_fp32 = step(
        "shared prefix, exact attention", SharedPrefixScorer(network).language_scores, work, torch.float32
    )
    exact = _scores(lambda r: plain_scores(network, r, exact=True).numpy(), compared)
    fp32 = _scores(SharedPrefixScorer(network).language_scores, work)
    first = np.concatenate([np.arange(len(rows)) < COMPARED for rows in work])
    difference = float(np.abs(fp32[first] - exact).max())
    del network

    network = setting.network("auto", LONG, HISTORY)
    scorer = SharedPrefixScorer(network)
    native = step("plain, in the native dtype", lambda r: plain_scores(network, r), few, dtype)
    fast = step("shared prefix, adapter merged", scorer.language_scores, work, dtype)
    tokens, operations = _tokens(network, work), _operations(network, work)
    peak = matmul_peak(dtype, device)
    mfu = operations * fast / sum(map(len, work)) / peak
    agreement = float(spearmanr(fp32, _scores(scorer.language_scores, work)).statistic) if candidates > 2 else None
    network.encoder = network.encoder.with_template(SHORT)
    short = step("short suffix: the request leads", scorer.language_scores, work, dtype)
    short_tokens = _tokens(network, work)["suffix_tokens"]
    cached = SharedPrefixScorer(network, cache=PrefixCache())
    step("known prefix", cached.language_scores, work, dtype)
    network.encoder = network.encoder.with_template(POOLED)
    step("history of one token an item", scorer.language_scores, work, dtype)
    if candidates > MEASURED:
        network.encoder = network.encoder.with_template(LONG)
        begun = time.perf_counter()
        _scores(scorer.language_scores, everything)
        fast = candidates * users / (time.perf_counter() - begun)
        say(f"all {candidates * users:,} candidates: {fast:.1f} candidates/s")
    for row in steps:
        row["speedup"] = round(row["per_s"] / naive, 2)
    return {
        "candidates": candidates,
        "users": users,
        **tokens,
        "short_suffix_tokens": short_tokens,
        "naive_per_s": round(naive, 3),
        "fast_per_s": round(fast, 3),
        "speedup": round(fast / naive, 2),
        "speedup_same_dtype": round(fast / native, 2),
        "speedup_fp32": round(shared_fp32 / naive, 2),
        "speedup_short_suffix": round(short / naive, 2),
        "max_abs_diff_fp32": difference,
        "spearman_bf16": agreement,
        "mfu": round(mfu, 4),
        "peak_gflops": round(peak / 1e9, 1),
        "peak_rss_mb": peak_rss_mb(),
        "techniques": steps,
    }


def bench_growth(setting: Setting, *, most: int = 1000, say: Say = print) -> dict[str, Any]:
    """Seconds a user against the number of candidates, of liked items in the prompt, and of items in the catalogue."""
    device = choose_device(setting.device)
    network = setting.network("auto", SHORT, HistoryBudget(items=80, tokens=1500, step=1))
    scorer = SharedPrefixScorer(network)
    ((user, history),) = setting.readers(1)
    counts = [n for n in (1, 10, 100, 1000, 10_000) if n <= most]
    by_candidates, by_history, by_catalogue = [], [], []
    for n in counts:
        rows = setting.candidates(user, history[-HISTORY.items :], n)
        seconds = fastest(partial(scorer.language_scores, rows), device, repeats=2 if n < 1000 else 1)
        by_candidates.append({"candidates": n, "seconds": round(seconds, 4)})
        say(f"{n} candidates: {seconds:.2f} s")
    for n in (n for n in (0, 5, 10, 20, 40, 80) if n <= len(history)):
        rows = setting.candidates(user, history[len(history) - n :], 100)
        seconds = fastest(partial(scorer.language_scores, rows), device)
        by_history.append({"likes": n, "seconds": round(seconds, 4)})
        say(f"{n} likes in the prompt: {seconds:.2f} s")
    for n in (1_000, 10_000, 100_000):
        by_catalogue.append({"items": n, "seconds": round(_retrieve(n, device), 5)})
        say(f"catalogue of {n:,}: CF retrieval {by_catalogue[-1]['seconds'] * 1000:.1f} ms")
    return {"by_candidates": by_candidates, "by_history": by_history, "by_catalogue": by_catalogue}


def _retrieve(items: int, device: torch.device) -> float:
    """Seconds to find the 100 best of a catalogue for one user with matrix factorisation."""
    from ccf_llm.cf.mf import MF
    from ccf_llm.cf.settings import MFConfig

    cf = MF(1, items, MFConfig()).eval()
    rows = Rows.for_candidates(np.array([1, 2, 3]), np.arange(1, items + 1), user=1)
    return fastest(lambda: np.argsort(-cf.score(rows), kind="stable")[:100], device)


@torch.no_grad()
def _two_answers(network: CCFNetwork, rows: Rows) -> None:
    """Separate prompts, whose last hidden states meet the two answers' rows only."""
    prompts = plan_prompts(network, rows)
    for begin in range(0, len(prompts), 8):
        plain_log_odds(network, prompts[begin : begin + 8], rows, all_logits=False)


def _scores(score: Callable[[Rows], NDArray[np.float32]], work: list[Rows]) -> NDArray[np.float32]:
    return np.concatenate([score(rows) for rows in work])


def _tokens(network: CCFNetwork, work: list[Rows]) -> dict[str, float]:
    """Mean tokens of a prefix and of a suffix; what all suffixes of a user begin with is counted as theirs."""
    prompts = [p for rows in work for p in plan_prompts(network, rows)]
    return {
        "prefix_tokens": round(float(np.mean([len(p.chain) for p in prompts])), 1),
        "suffix_tokens": round(float(np.mean([len(p.suffixes[0]) for p in prompts])), 1),
    }


def _operations(network: CCFNetwork, work: list[Rows]) -> float:
    """Floating-point operations that the scorer needs for `work`: products with the weights, and attention."""
    body = network.llm.body
    weights = sum(p.numel() for name, p in body.named_parameters() if p.dim() == 2 and "embed" not in name)
    weights -= sum(p.numel() for p in network.part("lora").values())
    config = body.config
    per_key = 4 * config.num_hidden_layers * config.hidden_size
    total = 0.0
    for rows in work:
        for s in plan_sequences(rows, network.encoder, network.budget):
            C = len(s.chain)
            total += 2.0 * weights * len(s) + per_key * C * (C + 1) / 2
            total += per_key * sum(
                n * (limit + (n + 1) / 2) for n, limit in zip(map(len, s.suffixes), s.limits, strict=True)
            )
    return total
