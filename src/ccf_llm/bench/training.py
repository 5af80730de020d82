"""Training on real histories: a prompt for each row against packs of a user's rows, at equal loss and gradients."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.bench.machine import fastest
from ccf_llm.bench.setting import Setting
from ccf_llm.data.rows import Rows
from ccf_llm.experiments.cost import peak_rss_mb
from ccf_llm.io.progress import Say
from ccf_llm.llm.runtime import choose_device, choose_dtype
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.pack import Sequence, plan_batches, plan_sequences
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.scoring.reference import plain_log_odds, plan_prompts
from ccf_llm.training.steps import sample_users

HISTORY = HistoryBudget(items=20, tokens=400, step=10)
"""The window starts at every tenth like: ten to twenty liked items, whose start a user's next targets share."""
SEQUENCE_TOKENS, BATCH_TOKENS = 1024, 1280
COMPARED = 6
"""So many rows have their gradients compared, in fp32."""

LogOdds = Callable[[list[Sequence], Rows], Tensor]


def bench_training(setting: Setting, *, rows: int = 160, say: Say = print) -> dict[str, Any]:
    """Samples per second forwards and backwards (adapter and fusion), and how far gradients move."""
    device = choose_device(setting.device)
    dtype = choose_dtype("auto", device)
    train = sample_users(setting.dataset.rows("train"), rows, seed=0)
    train = train.take(slice(0, max(rows, COMPARED)))
    steps: list[dict[str, Any]] = []

    def step(name: str, network: CCFNetwork, log_odds: LogOdds, batches: list[list[Sequence]]) -> float:
        seconds = fastest(lambda: _gradients(network, train, log_odds, batches), device, repeats=1)
        rate = sum(len(s.rows) for group in batches for s in group) / seconds
        kind = str(network.llm.dtype).removeprefix("torch.")
        steps.append({"technique": name, "dtype": kind, "per_s": round(rate, 3)})
        say(f"{name}: {rate:.1f} samples/s")
        return rate

    network = setting.network("auto", HybridTemplate(), HISTORY).train()
    prompts = plan_prompts(network, train)
    some = _evenly(prompts, 16)
    eights = [some[:8], some[8:]]
    plain = step("plain: one prompt each, batch 8, all logits", network, partial(plain_log_odds, network), eights)
    step("two answers at the last position", network, partial(plain_log_odds, network, all_logits=False), eights)
    packed = 0.0
    for most in (4, 16, None):
        packs = plan_sequences(train, network.encoder, network.budget, max_tokens=SEQUENCE_TOKENS, max_rows=most)
        batches = plan_batches(packs, batch_tokens=BATCH_TOKENS)
        packed = step(f"packs of {f'at most {most}' if most else 'all'} targets", network, network, batches)
    pooled = network.encoder.with_template(HybridTemplate(history_titles=False))
    network.encoder = pooled
    short = plan_sequences(train, pooled, network.budget, max_tokens=SEQUENCE_TOKENS)
    step("history of one token an item", network, network, plan_batches(short, batch_tokens=BATCH_TOKENS))
    for row in steps:
        row["speedup"] = round(row["per_s"] / plain, 2)
    return {
        "rows": len(train),
        "dtype": str(dtype).removeprefix("torch."),
        "naive_samples_per_s": round(plain, 3),
        "packed_samples_per_s": round(packed, 3),
        "speedup": round(packed / plain, 2),
        "max_rel_grad_diff": gradient_difference(setting, train),
        "targets_per_pack": round(len(train) / len(packs), 2),
        "tokens_per_target": round(sum(map(len, packs)) / len(train), 2),
        "tokens_per_prompt": round(sum(map(len, prompts)) / len(train), 2),
        "peak_rss_mb": peak_rss_mb(),
        "techniques": steps,
    }


def gradient_difference(setting: Setting, train: Rows) -> float:
    """Largest difference of a weight's gradient between one pack and separate prompts, over the gradient's norm."""
    network = setting.network("float32", HybridTemplate(), HISTORY).train()
    (pack,) = plan_sequences(train.take(slice(0, COMPARED)), network.encoder, HistoryBudget(items=20, step=20))[:1]
    rows = train.take(np.array(sorted(pack.rows)))
    packs = plan_sequences(rows, network.encoder, network.budget)
    packed = _gradients(network, rows, network, [packs])
    exact = partial(plain_log_odds, network, exact=True)
    plain = _gradients(network, rows, exact, [[prompt] for prompt in plan_prompts(network, rows)])
    return max(float((packed[name] - plain[name]).norm() / plain[name].norm()) for name in plain)


def _gradients(network: CCFNetwork, rows: Rows, log_odds: LogOdds, batches: list[list[Sequence]]) -> dict[str, Tensor]:
    """Of the summed cross-entropy, by weight; those that are zero everywhere are left out."""
    weights = {**network.part("lora"), **network.part("fusion")}
    network.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
        weight.grad = None
    for group in batches:
        labels = torch.from_numpy(rows.labels[[row for s in group for row in s.rows]]).float().to(network.device)
        loss = F.binary_cross_entropy_with_logits(log_odds(group, rows), labels, reduction="sum")
        loss.backward()  # type: ignore[no-untyped-call]
    return {n: weight.grad for n, weight in weights.items() if weight.grad is not None and weight.grad.any()}


def _evenly(prompts: list[Sequence], n: int) -> list[Sequence]:
    """`n` of the prompts, of all lengths, batches of similar ones as a careful user would make them."""
    ordered = sorted(prompts, key=len)
    return [ordered[int(i)] for i in np.linspace(0, len(ordered) - 1, n)]
