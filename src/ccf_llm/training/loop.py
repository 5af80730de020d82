"""The training loop: setup, steps, validation, in one readable file."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ccf_llm.errors import CCFError
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import plan_batches
from ccf_llm.randomness import seeded
from ccf_llm.training.average import BestStates, greedy_average
from ccf_llm.training.checkpoint import Checkpoint, Progress
from ccf_llm.training.data import ListData, TrainingData
from ccf_llm.training.objective import Measured, Objective
from ccf_llm.training.processes import as_first, count, is_first, rank, sum_gradients
from ccf_llm.training.ranking import RankingObjective
from ccf_llm.training.rating import RatingObjective
from ccf_llm.training.stage import BatchConfig, StageConfig
from ccf_llm.training.steps import epoch_steps

LOSS_POINTS = 24
"""Points of a stage's loss curve."""
SAVE_SECONDS = 60.0
"""A checkpoint is written at least so often, so that a killed run loses little."""

Report = Callable[[str, str, Progress, int], None]
"""Told of the stage, what happened (`step`, `valid` or `average`), the progress, and the number of steps."""


@dataclass(frozen=True)
class StageRun:
    """How one run of a stage is called, where its checkpoint is, who is told of it, and what went before."""

    name: str
    checkpoint: Checkpoint
    report: Report | None = None
    untrained: bool = False
    """Whether no stage went before: the blend begins without a language model that has learned nothing."""


def train_stage(
    model: CCFNetwork,
    data: TrainingData | ListData,
    stage: StageConfig,
    run: StageRun,
    *,
    batch: BatchConfig,
    seed: int,
) -> Progress:
    """Train the parts that `stage` names and leave the model in its state of best valid AUC or, of lists, NDCG.

    The state before the first step counts as a candidate, so a stage never ends worse on valid than it began; where the
    blend makes states equal, the better language model stays. Where the stage says so, its best states are averaged, as
    long as valid does not fall by it. A checkpoint is written after every validation and at
    least once a minute; called again with the same key, a stage that was killed goes on from there to the same
    result, and a finished one is only loaded. Several processes (`processes.joined`) train it together.

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
        data: TrainingData | ListData,
        stage: StageConfig,
        run: StageRun,
        weights: dict[str, Tensor],
        batch: BatchConfig,
        seed: int,
    ) -> None:
        self.model, self.stage, self.run, self.weights, self.batch, self.seed = model, stage, run, weights, batch, seed
        self.objective: Objective = (
            RankingObjective(model, data, stage, seed)
            if isinstance(data, ListData)
            else RatingObjective(model, data, stage, seed)
        )
        head = self.objective.head
        self.extra = {f"categories.{name}": weight for name, weight in head.named_parameters()} if head else {}
        """Trained beside the model's own weights, and dropped at the end."""
        self.optimizer = torch.optim.AdamW(
            _groups(model, stage, list(self.extra.values())), weight_decay=stage.weight_decay
        )
        sequences = self.objective.plan(batch)
        self.steps = [
            step
            for epoch in range(stage.epochs)
            for step in epoch_steps(sequences, rows=stage.rows, batch_rows=stage.batch_rows, seed=seed, epoch=epoch)
        ]
        self.objective.begin([pack for step in self.steps for pack in step])
        self.best: dict[str, Tensor] = {}
        self.kept = BestStates(stage.average if stage.average > 1 else 0)

    def go_on(self, progress: Progress | None) -> Progress:
        """Take the steps that are left, and end in the best state."""
        stage, checkpoint, last = self.stage, self.run.checkpoint, len(self.steps)
        if progress is None:
            progress = Progress(checkpoint.key)
            self._validate(progress)
            self._save(progress)
            self._tell("valid", progress)
        else:
            self.best = checkpoint.load(self.weights | self.extra, self.optimizer)
            self.kept.ranks = [(value, alone, step) for value, alone, step in progress.ranks]
            self.kept.states = checkpoint.kept(step for *_, step in self.kept.ranks)
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
        if len(self.kept.ranks) > 1:
            self._average(progress)
        progress.done, self.extra = True, {}
        _restore(self.weights, self.best)
        self._save(progress)
        return progress

    def _step(self, progress: Progress) -> None:
        """One optimizer step: mean loss over the step's targets, in micro-batches that fit the memory."""
        # Dropout depends on step and process alone, so a resumed run repeats it.
        torch.manual_seed(self.seed * 1_000_003 + progress.step + (rank() << 40))
        self.model.train()
        self._set_rates(progress.step)
        packs = self.steps[progress.step]
        whole = self.objective.weight(packs)
        total = 0.0
        for group in plan_batches(packs[rank() :: count()], batch_tokens=self.batch.batch_tokens):
            loss = self.objective.loss(group) / whole
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self.model.llm.end_together()
        trained = [weight for weight in (self.weights | self.extra).values() if weight.requires_grad]
        total = sum_gradients(trained, total)
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
        """Measure the state on valid; where it is the best so far, it is kept."""
        found = self._measure(progress)
        progress.valid.append({"step": progress.step, **found.point})
        if (found.value, found.alone) > (progress.best, progress.best_llm):
            progress.best, progress.best_llm = found.value, found.alone
            progress.best_step, progress.bad = progress.step, 0
            self.best = {name: weight.detach().clone() for name, weight in self.weights.items()}
        else:
            progress.bad += 1
        if self.kept.most:
            self.kept.offer(found, progress.step, self.weights)
            progress.ranks = self.kept.ranks

    def _average(self, progress: Progress) -> None:
        """Make the best state an average of the kept ones. Nothing is saved on the way: a killed one begins anew."""
        with _timed(progress):
            self.best, reached, progress.averaged = greedy_average(
                self.kept, self.weights, lambda: self._measure(progress)
            )
        progress.best, progress.best_llm = reached
        progress.ranks, self.kept = [], BestStates(0)
        self._tell("average", progress)

    def _measure(self, progress: Progress) -> Measured:
        try:
            asked = progress.step > 0 or not (self.run.untrained and self.model.blends)
            found = self.objective.measure(self.batch.memory_mb, asked=asked)
        except FloatingPointError as error:
            raise self._diverged(str(error), progress) from None
        # Processes that round differently must not choose differently.
        as_first(self.model.blend.weights)
        value, alone = as_first(torch.tensor([found.value, found.alone], dtype=torch.float64)).tolist()
        return replace(found, value=value, alone=alone)

    def _save(self, progress: Progress) -> None:
        """A checkpoint, unless the state is one that nothing can go on from."""
        weights = self.weights | self.extra
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            raise self._diverged("weights not finite", progress)
        if is_first():
            self.run.checkpoint.save(progress, weights, self.best, self.optimizer, self.kept.states)

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


def _groups(model: CCFNetwork, stage: StageConfig, extra: list[nn.Parameter]) -> list[dict[str, object]]:
    """Optimizer groups, one for each part, and one for what is trained beside them."""
    rates = _rates(stage)
    groups = [(list(model.part(part).values()), rates[part]) for part in stage.train]
    groups += [(extra, stage.category_rate)] if extra else []
    return [{"params": weights, "lr": rate, "peak": rate} for weights, rate in groups]


@contextmanager
def _timed(progress: Progress) -> Iterator[None]:
    started = time.perf_counter()
    yield
    progress.seconds += time.perf_counter() - started


@torch.no_grad()
def _restore(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])
