"""Train the methods of a run. What is done is not done again; what was killed goes on."""

from collections.abc import Collection, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.categories import categories_of
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.experiments.cf import CrossFitted, cf_key, fit_cf, fit_folds, folds_of_packs, load_vectors, read_cost
from ccf_llm.experiments.check import check_run
from ccf_llm.experiments.config import RunConfig, alone, dump_config
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.lists import make_lists
from ccf_llm.experiments.methods import Method
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.experiments.words import user_words
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.io.files import only_one, read_json, write_json, write_text
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.progress import Say
from ccf_llm.llm.base import LanguageModel
from ccf_llm.model.build import build_network
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import DataRecord, ModelInfo
from ccf_llm.model.store import save_model
from ccf_llm.prompts.details import columns_of
from ccf_llm.prompts.shots import draw_shots
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.settings import Settings
from ccf_llm.text.sentences import SENTENCES, encoder_key
from ccf_llm.training.checkpoint import Checkpoint, Progress
from ccf_llm.training.data import ListData, TrainingData
from ccf_llm.training.loop import Report, StageRun, train_stage
from ccf_llm.training.processes import first_ahead, is_first, joined, meet
from ccf_llm.training.rating import plan_rows
from ccf_llm.training.stage import ListConfig, StageConfig
from ccf_llm.training.warmup import warm_up


@dataclass(frozen=True)
class Effort:
    """What a method took, that of the methods that it starts from included, each part once."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Of each CF model fitted and each stage."""
    trained: dict[str, int] = field(default_factory=dict)
    """Weights of each part that was trained."""
    peaks_mb: dict[str, float] = field(default_factory=dict)
    """Largest resident memory of each stage."""


@dataclass(frozen=True)
class Trained:
    """A trained method."""

    name: str
    network: CCFNetwork
    """Shares its language model with the other methods: use it before the next one is trained."""
    effort: Effort
    curves: list[dict[str, Any]] = field(default_factory=list)
    """Progress of its own stages."""


@dataclass(frozen=True)
class _State:
    """What one method hands to the next: adapter and CF model. The fusion is always begun anew."""

    key: str
    weights: dict[str, Tensor]
    cf: str | None = None
    """Which CF model the weights belong to."""
    effort: Effort = Effort()


def train_run(
    config: RunConfig,
    *,
    only: str | None = None,
    dataset: Dataset | None = None,
    say: Say = print,
    report: Report | None = None,
) -> RunFolder:
    """Fit the CF models, then train every method (or `only` one and what it starts from) and save each.

    Args:
        config: the run; its `output` folder is made, or taken up again.
        only: one method of the configuration.
        dataset: data with a split; None opens what the configuration names.
        say: gets a line for each finished part.
        report: gets every step, for progress bars.

    Where several processes were started for it (`processes.joined`), they train together, in one folder. The first of
    them fits what is fitted once, writes, and speaks.

    Raises:
        CCFError: bad input, named in one line.
    """
    if only is not None and only not in config.methods:
        raise CCFError(f"--only {only}: not one of the methods {', '.join(config.methods)}")
    folder = RunFolder(config.output)
    with joined(config.llm.device):
        if not is_first():
            say, report = _silent, None
        with first_ahead():  # what has to be fetched is fetched once
            dataset = dataset or open_split(config)
            check_run(config, dataset, [*config.resolved.cf_rows, *(config.methods if only is None else [only])])
        for note in dataset.history_notes:
            say(f"note: {note}")
        with only_one(folder.path, "training") if is_first() else nullcontext():
            if is_first():
                TrainedOn.of(dataset).save(folder.data)
            fit_cf(folder, dataset, config.resolved.cf_rows, config, say)
            for _ in train_methods(config, dataset, only=None if only is None else [only], say=say, report=report):
                pass
        meet()  # for the others the folder is whole now, too
    return folder


def _silent(line: str) -> None:
    """What the other processes say."""


def train_methods(
    config: RunConfig,
    dataset: Dataset,
    *,
    only: Collection[str] | None = None,
    say: Say = print,
    report: Report | None = None,
) -> Iterator[Trained]:
    """Train and save each method in turn (or those in `only`, after what they start from); see `train_run`."""
    folder = RunFolder(config.output)
    if is_first():
        write_text(folder.config, dump_config(config))
    wanted = {needed for name in (config.methods if only is None else only) for needed in config.resolved[name].needed}
    networks = _Networks(config, folder, dataset, say)
    states: dict[str, _State] = {}
    for method in config.resolved:
        if method.name not in wanted:
            continue
        network = networks.of(method)
        before = states[method.start] if method.start else networks.starts[method.layers]
        _set_state(network, before, method.cf)
        found = Trained(method.name, network, deepcopy(before.effort))
        key = _train_method(config, folder, networks, method, found, before.key, report)
        states[method.name] = _State(key, _copy_state(network), method.cf, found.effort)
        info = _info(config, method.name, dataset)
        if is_first():
            save_model(network, dataset.user_vocabulary, dataset.items, info, folder.model(method.name))
        say(f"{method.name} saved in {folder.model(method.name)}")
        yield found


def _info(config: RunConfig, method: str, dataset: Dataset) -> ModelInfo:
    """What a saved method says of itself."""
    return ModelInfo(
        details=config.data.details,
        user_details=config.data.user_details,
        dtype=config.llm.dtype,
        memory_mb=config.batch.memory_mb,
        task=config.task,
        data=DataRecord(
            name=dataset.name,
            source=dataset.source,
            rows={part: len(dataset.rows(part)) for part in PARTS},
            identity=dataset.identity.to_json(),
        ),
        training=alone(config, method).model_dump(mode="json"),
    )


class _Networks:
    """The networks of a run's methods, over one language model of each depth, and the CF models to train them with."""

    def __init__(self, config: RunConfig, folder: RunFolder, dataset: Dataset, say: Say) -> None:
        self.config, self.folder, self.dataset, self.say = config, folder, dataset, say
        self._llms: dict[int | None, LanguageModel] = {}
        self.starts: dict[int | None, _State] = {}
        self._crossed: dict[str, CrossFitted] = {}
        self._made: dict[tuple[str, int], tuple[ListData, CrossFitted | None]] = {}
        self.train, self.valid = dataset.rows("train"), dataset.rows("valid")
        self._users = user_words(config, dataset)

    def of(self, method: Method) -> CCFNetwork:
        """A network with the method's own prompt, CF model and fresh fusion."""
        config, shots = self.config, method.prompt.template.shots
        fit_cf(self.folder, self.dataset, [method.cf], config, self.say)
        network = build_network(
            self.dataset.items,
            load_vectors(self.folder, method.cf),
            llm=config.llm.model_copy(update={"layers": method.layers}),
            prompt=method.prompt,
            fusion=method.fusion,
            details=config.data.details,
            seed=config.seed,
            users=self._users,
            shots=draw_shots(self.train, self._measured(), shots, config.seed) if shots else (),
            loaded=self._llms.get(method.layers),
        )
        if method.fusion.warmup:
            warm_up(network, self.train, method.fusion.warmup, config.seed)
        if method.layers not in self._llms:
            self._llms[method.layers] = network.llm
            key = _start_key(config, self.dataset, network)
            adapter = {name: weight.detach().clone() for name, weight in network.part("lora").items()}
            self.starts[method.layers] = _State(key, adapter)
        return network

    def data(
        self, method: Method, network: CCFNetwork, stage: StageConfig
    ) -> tuple[TrainingData | ListData, CrossFitted | None]:
        """What a stage of a method reads, and the cross-fitted CF models among it; None where its own is read."""
        data, folds = self._read(method, network, stage)
        column = self.config.data.categories
        if stage.category_weight and column is not None:
            told = categories_of(self.dataset.items, column)
            data = replace(data, categories=np.pad(told, ((1, 0), (0, 0))).astype(np.float32))  # code 0 is no item
        return data, folds

    def _read(
        self, method: Method, network: CCFNetwork, stage: StageConfig
    ) -> tuple[TrainingData | ListData, CrossFitted | None]:
        # Where the CF model itself is trained, it must be the one that is read.
        reads_folds = method.folds > 0 and (method.fills_slots or method.ranks) and "cf" not in stage.train
        if method.ranks:
            return self._lists(method, network, method.folds if reads_folds else 0)
        folds = self._folds(method, network) if reads_folds else None
        return TrainingData(self.train, self.valid, folds.of_row if folds else None), folds

    def _folds(self, method: Method, network: CCFNetwork) -> CrossFitted:
        """The cross-fitted CF models that a method of the rating task is trained with."""
        config = self.config
        key = fingerprint([method.cf, method.folds, method.prompt.model_dump()])
        if key not in self._crossed:
            sequences = plan_rows(network, self.train, config.batch)
            folds = folds_of_packs(sequences, self.train, config.cf, method.folds, config.seed)
            crossed = fit_folds(self.folder, self.dataset, config, network.cf, folds, self.say)
            for model in crossed.models:
                model.to(network.device)
            self._crossed[key] = crossed
        return self._crossed[key]

    def _lists(self, method: Method, network: CCFNetwork, folds: int) -> tuple[ListData, CrossFitted | None]:
        """The lists of the ranking task, which all methods over one retriever share."""
        if (method.cf, folds) not in self._made:
            reference = network.cf
            assert isinstance(reference, RetrieverVectors)  # the configuration names no other kind
            made = make_lists(self.config, self.folder, self.dataset, reference, folds, self.say)
            for model in made[1].models if made[1] else []:
                model.to(network.device)
            self._made[method.cf, folds] = made
        return self._made[method.cf, folds]

    def _measured(self) -> Rows:
        return Rows.concat([self.valid, self.dataset.rows("test")])


def _train_method(
    config: RunConfig,
    folder: RunFolder,
    networks: _Networks,
    method: Method,
    found: Trained,
    start_key: str,
    report: Report | None,
) -> str:
    """All stages of a method, noted in `found`; returns the fingerprint of its result."""
    network, effort = found.network, found.effort
    key = fingerprint([start_key, _method_key(config, networks.dataset, method)])
    if method.reads_cf:
        effort.seconds[method.cf] = read_cost(folder.cf(method.cf)).seconds
    for name, stage in method.stages:
        data, folds = networks.data(method, network, stage)
        told = [] if data.categories is None else [data.categories.tolist()]
        key = fingerprint([key, _stage_key(stage), *told])
        if folds is not None:
            effort.seconds[folds.name] = folds.seconds
        with measured() as cost:
            checkpoint = Checkpoint(folder.checkpoint(method.name, name), key)
            run = StageRun(f"{method.name} / {name}", checkpoint, report, not (method.start or found.curves))
            progress = train_stage(network, data, stage, run, batch=config.batch, seed=config.seed)
        curve = _record(folder, method.name, name, progress, cost)
        found.curves.append(curve)
        effort.seconds[f"{method.name} / {name}"] = progress.seconds
        effort.peaks_mb[f"{method.name} / {name}"] = curve["peak_mb"]
        for part in set(stage.train) & method.trainable:
            effort.trained[part] = sum(weight.numel() for weight in network.part(part).values())
    return key


def _record(folder: RunFolder, method: str, stage: str, progress: Progress, cost: Cost) -> dict[str, Any]:
    """Put the stage's curves into training.json; where it was trained before, its memory is what it took then."""
    curves = read_json(folder.training) if folder.training.exists() else []
    same = [c for c in curves if (c["method"], c["stage"]) == (method, stage)]
    before = max((c.get("peak_mb", 0.0) for c in same if c["key"] == progress.key), default=0.0)
    peak = max(before, cost.peak_mb)
    curve = {"method": method, "stage": stage, "peak_mb": peak, **asdict(progress)}
    if is_first():
        write_json(folder.training, [*(c for c in curves if c not in same), curve])
    return curve


def _start_key(config: RunConfig, dataset: Dataset, network: CCFNetwork) -> str:
    """Everything outside the methods that decides a result; of layers only where some are left out, of bits only where
    there are fewer, of lists only where they are learned from, of details only where more than columns are named, and
    of users only where something is told of them, so that older checkpoints hold.
    """
    data = config.data.model_dump(mode="json", include={"details"})
    details = {} if all(isinstance(detail, str) for detail in config.data.details) else data
    layers = {} if network.llm.layers is None else {"layers": network.llm.layers}
    bits = {} if config.llm.quantize is None else {"quantize": config.llm.quantize}
    after = {"people", "trees"}  # of what is measured when all is trained
    ranking = _as_of_old(config.ranking.model_dump(exclude=after), ListConfig, "dislikes", "moments")
    lists = {"ranking": ranking} if config.ranks else {}
    users = {"users": network.encoder.users} if network.encoder.users else {}
    return fingerprint(
        layers
        | bits
        | lists
        | users
        | details
        | {
            "data": dataset.identity.to_json(),
            "model": network.llm.source.checksum,
            "dtype": str(network.llm.dtype),
            "lora": config.llm.lora.model_dump(),
            "batch": config.batch.model_dump(),
            "items": dataset.items.select("item_id", "title", *columns_of(config.data.details)).to_dicts(),
            "seed": config.seed,
        }
    )


def _method_key(config: RunConfig, dataset: Dataset, method: Method) -> dict[str, Any]:
    """Everything of a method but its stages that decides its result."""
    own = alone(config, method.name).methods[method.name].model_dump(mode="json", include={"prompt", "fusion", "folds"})
    own["prompt"]["template"] = _as_of_old(own["prompt"]["template"], HybridTemplate, "candidate_titles", "answer_at")
    if own["fusion"]:
        younger = ("blend_text", "shared", "semantic", "details", "odds", "depth_bias", "warmup", "unmet")
        own["fusion"] = _as_of_old(own["fusion"], FusionConfig, *younger)
    if method.fusion.semantic.startswith(f"{SENTENCES}:"):  # a folder of that name may hold another one tomorrow
        own["encoder"] = encoder_key(method.fusion.semantic)
    own["cf"] = cf_key(method.cf, dataset, config) if method.reads_cf else None
    own["whole_users"] = config.cf.whole_users if own["folds"] else None
    return own


def _stage_key(stage: StageConfig) -> dict[str, Any]:
    """All settings of a stage."""
    younger = ("average", "category_weight", "category_rate", "rating_weight", "pointwise", "empty_slots")
    return _as_of_old(stage.model_dump(mode="json"), StageConfig, *younger)


def _as_of_old(values: dict[str, Any], settings: type[Settings], *younger: str) -> dict[str, Any]:
    """These settings, the younger ones only where they are not their default, so that older checkpoints hold."""
    defaults = {name: settings.model_fields[name].default for name in younger}
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def _copy_state(network: CCFNetwork) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in _parts(network).items()}


@torch.no_grad()
def _set_state(network: CCFNetwork, state: _State, kind: str) -> None:
    """The adapter always, the CF model's weights where they are of the same kind."""
    weights = _parts(network) if state.cf == kind else network.part("lora")
    for name, weight in weights.items():
        weight.copy_(state.weights[name])


def _parts(network: CCFNetwork) -> dict[str, Tensor]:
    return {**network.part("lora"), **network.part("cf")}
