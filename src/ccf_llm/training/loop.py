"""The training loop: setup, steps, validation, in one readable file."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ccf_llm.data.rows import Floats, Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence, plan_batches, plan_sequences
from ccf_llm.randomness import seeded
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.training.checkpoint import Checkpoint, Progress
from ccf_llm.training.data import TrainingData
from ccf_llm.training.objective import RatingObjective
from ccf_llm.training.stage import BatchConfig, StageConfig
from ccf_llm.training.steps import epoch_steps, sample_users

LOSS_POINTS = 24
"""Points of a stage's loss curve."""
SAVE_SECONDS = 60.0
"""A checkpoint is written at least so often, so that a killed run loses little."""

Report = Callable[[str, str, Progress, int], None]
"""Told of the stage, what happened (`step` or `valid`), the progress, and the number of steps."""


@dataclass(frozen=True)
class StageRun:
    """How one run of a stage is called, where its checkpoint is, and who is told of it."""

    name: str
    checkpoint: Checkpoint
    report: Report | None = None


def train_stage(
    model: CCFNetwork, data: TrainingData, stage: StageConfig, run: StageRun, *, batch: BatchConfig, seed: int
) -> Progress:
    """Train the parts that `stage` names and leave the model in its state of best valid AUC.

    The state before the first step counts as a candidate, so a stage never ends worse on valid than it began; where the
    blend makes states equal, the better language model stays. A checkpoint is written after every validation and at
    least once a minute; called again with the same key, a stage that was killed goes on from there to the same
    result, and a finished one is only loaded.

    Raises:
        CCFError: the valid rows are all of one class, the checkpoint is damaged, or the training diverges; its last
            sound checkpoint then stays.
    """
    weights = trainable(model, stage) | {"blend": model.blend.weights}
    progress = run.checkpoint.progress()
    if progress is not None and progress.done:
        _restore(weights, run.checkpoint.load(weights, None))
        return progress
    with seeded(seed):
        return _Training(model, data, stage, run, weights, batch, seed).go_on(progress)


class _Training:
    """A stage under way."""

    def __init__(
        self,
        model: CCFNetwork,
        data: TrainingData,
        stage: StageConfig,
        run: StageRun,
        weights: dict[str, Tensor],
        batch: BatchConfig,
        seed: int,
    ) -> None:
        self.model, self.stage, self.run, self.weights, self.batch, self.seed = model, stage, run, weights, batch, seed
        self.optimizer = torch.optim.AdamW(_groups(model, stage), weight_decay=stage.weight_decay)
        sequences = plan_training(model, data.train, batch)
        self.steps = [
            step
            for epoch in range(stage.epochs)
            for step in epoch_steps(sequences, rows=stage.rows, batch_rows=stage.batch_rows, seed=seed, epoch=epoch)
        ]
        self.objective = RatingObjective(model, data, stage, [pack for step in self.steps for pack in step])
        self.measured = sample_users(data.valid, stage.valid_rows, seed, stage.valid_user_rows)
        self.best: dict[str, Tensor] = {}

    def go_on(self, progress: Progress | None) -> Progress:
        """Take the steps that are left, and end in the best state."""
        stage, checkpoint, last = self.stage, self.run.checkpoint, len(self.steps)
        if progress is None:
            progress = Progress(checkpoint.key)
            self._validate(progress)
            self._save(progress)
            self._tell("valid", progress)
        else:
            self.best = checkpoint.load(self.weights, self.optimizer)
        log_every, every = max(1, last // LOSS_POINTS), max(1, math.ceil(last / stage.evaluations))
        saved = time.monotonic()
        while progress.step < last and progress.bad < stage.patience:
            with _timed(progress):
                self._step(progress)
                if progress.step % log_every == 0 or progress.step == last:
                    progress.loss.append((progress.step, sum(progress.pending) / len(progress.pending)))
                    progress.pending = []
                measure = progress.step % every == 0 or progress.step == last
                if measure:
                    self._validate(progress)
            if measure or time.monotonic() - saved > SAVE_SECONDS:
                self._save(progress)
                saved = time.monotonic()
            self._tell("valid" if measure else "step", progress)
        progress.done = True
        _restore(self.weights, self.best)
        self._save(progress)
        return progress

    def _step(self, progress: Progress) -> None:
        """One optimizer step: mean loss over the step's targets, in micro-batches that fit the memory."""
        # Dropout depends on the step alone, so a resumed run repeats it.
        torch.manual_seed(self.seed * 1_000_003 + progress.step)
        self.model.train()
        self._set_rates(progress.step)
        packs = self.steps[progress.step]
        whole = self.objective.weight(packs)
        total = 0.0
        for group in plan_batches(packs, batch_tokens=self.batch.batch_tokens):
            loss = self.objective.loss(self.model, group) / whole
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        trained = [weight for weight in self.weights.values() if weight.requires_grad]
        norm = float(nn.utils.clip_grad_norm_(trained, self.stage.clip))
        progress.step += 1
        if not math.isfinite(total) or not math.isfinite(norm):
            what = f"gradient {norm}" if math.isfinite(total) else f"loss {total}"
            raise self._diverged(what, progress)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.pending.append(total)
        progress.rows += sum(len(pack.rows) for pack in packs)

    def _validate(self, progress: Progress) -> None:
        """Measure the valid AUC; where it is the best so far, the state is kept."""
        model, rows = self.model, self.measured
        if len(np.unique(rows.labels)) < 2:
            raise CCFError(
                f"valid: the {len(rows)} rows measured are all of one class; raise valid_rows or split otherwise"
            )
        llm, cf = self._scores(rows, progress)
        scores = llm
        if cf is not None:
            model.blend.fit(llm, cf, rows.labels, rows.users)
            scores = model.blend(llm, cf)
        value, alone = auc(rows.labels, scores), auc(rows.labels, llm)
        within, users = uauc(rows.users, rows.labels, scores)
        point = {"auc": round(value, 5), "uauc": round(within, 5) if users else None, "llm_auc": round(alone, 5)}
        progress.valid.append({"step": progress.step, **point})
        if (value, alone) > (progress.best_auc, progress.best_llm_auc):
            progress.best_auc, progress.best_llm_auc = value, alone
            progress.best_step, progress.bad = progress.step, 0
            self.best = {name: weight.detach().clone() for name, weight in self.weights.items()}
        else:
            progress.bad += 1

    def _scores(self, rows: Rows, progress: Progress) -> tuple[Floats, Floats | None]:
        """(N,) log-odds of the language model, and of CF where they are blended."""
        llm = SharedPrefixScorer(self.model, memory_mb=self.batch.memory_mb).language_scores(rows)
        cf = self.model.cf.score(rows) if self.model.blends else None
        if not np.isfinite(llm).all() or not (cf is None or np.isfinite(cf).all()):
            raise self._diverged("valid scores nan", progress)
        return llm, cf

    def _save(self, progress: Progress) -> None:
        """A checkpoint, unless the state is one that nothing can go on from."""
        if not all(bool(weight.isfinite().all()) for weight in self.weights.values()):
            raise self._diverged("weights not finite", progress)
        self.run.checkpoint.save(progress, self.weights, self.best, self.optimizer)

    def _diverged(self, what: str, progress: Progress) -> CCFError:
        rates = ", ".join(f"{part}_rate {rate:g}" for part, rate in _rates(self.stage).items())
        return CCFError(
            f"stage {self.run.name}: training diverged ({what} at step {progress.step}) at {rates}; "
            f"choose {'a smaller one' if len(self.stage.train) == 1 else 'smaller ones'}"
        )

    def _tell(self, word: str, progress: Progress) -> None:
        if self.run.report is not None:
            self.run.report(self.run.name, word, progress, len(self.steps))

    def _set_rates(self, step: int) -> None:
        """Linear warm-up, then a cosine down to a tenth: a function of the step alone, so nothing of it is saved."""
        warm = max(1, round(self.stage.warmup * len(self.steps)))
        after = (step - warm) / max(1, len(self.steps) - warm)
        factor = (step + 1) / warm if step < warm else 0.1 + 0.45 * (1 + math.cos(math.pi * after))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor


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


def _rates(stage: StageConfig) -> dict[str, float]:
    """The peak learning rate of each part that is trained."""
    rates = {"lora": stage.lora_rate, "fusion": stage.fusion_rate, "cf": stage.cf_rate, "prompt": stage.prompt_rate}
    return {part: rates[part] for part in stage.train}


def _groups(model: CCFNetwork, stage: StageConfig) -> list[dict[str, object]]:
    """Optimizer groups, one for each part."""
    rates = _rates(stage)
    return [{"params": list(model.part(part).values()), "lr": rates[part], "peak": rates[part]} for part in stage.train]


@contextmanager
def _timed(progress: Progress) -> Iterator[None]:
    started = time.perf_counter()
    yield
    progress.seconds += time.perf_counter() - started


@torch.no_grad()
def _restore(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])
