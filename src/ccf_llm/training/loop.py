"""The training loop: setup, steps, validation, in one readable file."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence, plan_batches, plan_sequences
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.training.checkpoint import Progress, load_checkpoint, read_progress, save_checkpoint
from ccf_llm.training.stage import BatchConfig, StageConfig
from ccf_llm.training.steps import epoch_steps, row_weights, sample_users

LOSS_POINTS = 24
"""Points of a stage's loss curve."""
SAVE_SECONDS = 60.0
"""A checkpoint is written at least so often, so that a killed run loses little."""


def train_stage(
    model: CCFNetwork,
    train: Rows,
    valid: Rows,
    stage: StageConfig,
    *,
    batch: BatchConfig,
    seed: int,
    checkpoint: Path,
    key: str,
    cf_of_row: Callable[[int], CFModel] | None = None,
    report: Callable[[str, Progress, int], None] | None = None,
) -> Progress:
    """Train the parts that `stage` names and leave the model in its state of best valid AUC.

    The state before the first step counts as a candidate, so a stage never ends worse on valid than it began; where the
    blend makes states equal, the better language model stays. A checkpoint is written after every validation and at
    least once a minute; called again with the same `key`, a stage that was killed goes on from there to the same
    result, and a finished one is only loaded.

    Args:
        train, valid: rows of the two parts.
        checkpoint: folder of this stage's checkpoint.
        key: fingerprint of config, data and what came before.
        cf_of_row: the CF model to read a training row with; None for the model's own.
        report: called after each step and validation with a word, the progress and the number of steps.
    """
    weights = trainable(model, stage) | {"blend": model.fusion.blend.weights}
    progress = read_progress(checkpoint, key)
    if progress is not None and progress.done:
        _restore(weights, load_checkpoint(checkpoint, weights, None))
        return progress

    accelerator = Accelerator(cpu=model.device.type == "cpu")
    optimizer = accelerator.prepare_optimizer(torch.optim.AdamW(_groups(model, stage), weight_decay=stage.weight_decay))
    sequences = plan_training(model, train, batch)
    steps = [
        step
        for epoch in range(stage.epochs)
        for step in epoch_steps(sequences, rows=stage.rows, batch_rows=stage.batch_rows, seed=seed, epoch=epoch)
    ]
    row_weight = torch.from_numpy(row_weights(train, stage.user_balance)).to(model.device)
    residual = _residual(model, train, steps, cf_of_row) if stage.residual and model.blends else None
    measured = sample_users(valid, stage.valid_rows, seed, stage.valid_user_rows)
    every = max(1, math.ceil(len(steps) / stage.evaluations))
    tell = report or (lambda word, progress, steps: None)

    if progress is None:
        progress = Progress(key)
        best = _validate(model, measured, weights, {}, progress, batch)
        save_checkpoint(checkpoint, progress, weights, best, optimizer)
        tell("valid", progress, len(steps))
    else:
        best = load_checkpoint(checkpoint, weights, optimizer)

    log_every = max(1, len(steps) // LOSS_POINTS)
    saved = time.monotonic()
    while progress.step < len(steps) and progress.bad < stage.patience:
        started = time.perf_counter()
        # Dropout depends on the step alone, so a resumed run repeats it.
        torch.manual_seed(seed * 1_000_003 + progress.step)
        _set_rates(optimizer, stage, progress.step, len(steps))
        packs = steps[progress.step]
        progress.pending.append(
            _step(model, train, packs, optimizer, accelerator, weights, stage, batch, cf_of_row, row_weight, residual)
        )
        progress.step += 1
        progress.rows += sum(len(pack.rows) for pack in packs)
        last = progress.step == len(steps)
        if progress.step % log_every == 0 or last:
            progress.loss.append((progress.step, sum(progress.pending) / len(progress.pending)))
            progress.pending = []
        measure = progress.step % every == 0 or last
        if measure:
            best = _validate(model, measured, weights, best, progress, batch)
        progress.seconds += time.perf_counter() - started
        if measure or time.monotonic() - saved > SAVE_SECONDS:
            save_checkpoint(checkpoint, progress, weights, best, optimizer)
            saved = time.monotonic()
        tell("valid" if measure else "step", progress, len(steps))
    progress.done = True
    _restore(weights, best)
    save_checkpoint(checkpoint, progress, weights, best, optimizer)
    return progress


def plan_training(model: CCFNetwork, train: Rows, batch: BatchConfig) -> list[Sequence]:
    """All training rows as packs."""
    return plan_sequences(
        train, model.encoder, model.budget, max_tokens=batch.sequence_tokens, max_rows=batch.training_pack
    )


def trainable(model: CCFNetwork, stage: StageConfig) -> dict[str, Tensor]:
    """The weights that the stage trains, by name; all others are frozen."""
    model.requires_grad_(False)
    weights = {}
    for part in stage.train:
        for name, parameter in model.part(part).items():
            parameter.requires_grad_(True)
            weights[f"{part}.{name}"] = parameter
    return dict(weights)


def _step(
    model: CCFNetwork,
    train: Rows,
    sequences: list[Sequence],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    weights: dict[str, Tensor],
    stage: StageConfig,
    batch: BatchConfig,
    cf_of_row: Callable[[int], CFModel] | None,
    row_weight: Tensor,
    residual: Tensor | None = None,
) -> float:
    """One optimizer step: weighted mean cross-entropy over the step's targets, in micro-batches that fit the memory."""
    model.train()
    whole = row_weight[[row for s in sequences for row in s.rows]].sum()
    total = 0.0
    for group in plan_batches(sequences, batch_tokens=batch.batch_tokens):
        rows = [row for s in group for row in s.rows]
        labels = torch.from_numpy(train.labels[rows]).float().to(model.device)
        cf = [cf_of_row(sequence.rows[0]) for sequence in group] if cf_of_row else None
        score = model(group, train, cf)
        if residual is not None:
            score = score + residual[rows]
        losses = F.binary_cross_entropy_with_logits(score, labels, reduction="none")
        loss = losses @ row_weight[rows] / whole
        accelerator.backward(loss)
        total += float(loss.detach())
    nn.utils.clip_grad_norm_([weight for weight in weights.values() if weight.requires_grad], stage.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _residual(
    model: CCFNetwork, train: Rows, steps: list[list[Sequence]], cf_of_row: Callable[[int], CFModel] | None
) -> Tensor:
    """(N,) CF log-odds of the rows of `steps`, each by the CF model that it is read with; 0 for all others."""
    rows_of: dict[CFModel, list[int]] = {}
    for row in sorted({row for packs in steps for pack in packs for row in pack.rows}):
        rows_of.setdefault(cf_of_row(row) if cf_of_row else model.cf, []).append(row)
    found = np.zeros(len(train), dtype=np.float32)
    for cf, rows in rows_of.items():
        found[rows] = cf.score(train.take(np.asarray(rows)))
    return torch.from_numpy(found).to(model.device)


def _validate(
    model: CCFNetwork,
    rows: Rows,
    weights: dict[str, Tensor],
    best: dict[str, Tensor],
    progress: Progress,
    batch: BatchConfig,
) -> dict[str, Tensor]:
    """Measure the valid AUC; returns the best weights so far."""
    if len(np.unique(rows.labels)) < 2:
        raise CCFError(
            f"valid: the {len(rows)} rows measured are all of one class; raise valid_rows or split otherwise"
        )
    llm = SharedPrefixScorer(model, memory_mb=batch.memory_mb).language_scores(rows)
    blend = model.fusion.blend
    scores = llm
    if model.blends:
        cf = model.cf.score(rows)
        blend.fit(llm, cf, rows.labels, rows.users)
        scores = blend(llm, cf)
    value, alone = auc(rows.labels, scores), auc(rows.labels, llm)
    within, users = uauc(rows.users, rows.labels, scores)
    progress.valid.append(
        {
            "step": progress.step,
            "auc": round(value, 5),
            "uauc": round(within, 5) if users else None,
            "llm_auc": round(alone, 5),
        }
    )
    if (value, alone) > (progress.best_auc, progress.best_llm_auc):
        progress.best_auc, progress.best_llm_auc = value, alone
        progress.best_step, progress.bad = progress.step, 0
        return {name: weight.detach().clone() for name, weight in weights.items()}
    progress.bad += 1
    return best


def _groups(model: CCFNetwork, stage: StageConfig) -> list[dict[str, object]]:
    """Optimizer groups, each with the peak learning rate of its part."""
    rates = {
        "lora": stage.lora_rate,
        "fusion": stage.fusion_rate,
        "cf": stage.cf_rate,
        "prompt": stage.prompt_rate,
    }
    return [{"params": list(model.part(part).values()), "lr": rates[part], "peak": rates[part]} for part in stage.train]


def _set_rates(optimizer: torch.optim.Optimizer, stage: StageConfig, step: int, steps: int) -> None:
    """Linear warm-up, then a cosine down to a tenth: a function of the step alone, so nothing of it needs saving."""
    warm = max(1, round(stage.warmup * steps))
    after = (step - warm) / max(1, steps - warm)
    factor = (step + 1) / warm if step < warm else 0.1 + 0.45 * (1 + math.cos(math.pi * after))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


@torch.no_grad()
def _restore(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])
