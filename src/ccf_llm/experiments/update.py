"""Keep a trained model up with its shop: new interactions, users and items, and the language model as it was."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.candidates import Candidates
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets
from ccf_llm.data.manifest import Part
from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.cf import fit_told
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import RunConfig, dump_config
from ccf_llm.experiments.evaluate_rating import measure
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import Asked, model_scores, reranked_lists, retriever_lists
from ccf_llm.experiments.trained import ROW, TrainedOn
from ccf_llm.io.files import atomic_folder, write_json, write_text
from ccf_llm.io.progress import Say
from ccf_llm.model.ccfllm import CCFLLM


def update_run(folder: RunFolder, source: str, *, part: Part = "test", say: Say = print) -> dict[str, Any]:
    """Refresh the main model of a run on a data set that has grown, and put it in the place of the one that is there.

    The CF model is fitted anew and its vectors are turned into the space that the fusion knows; adapter, fusion and
    blend stay. Measured is what train rows alone teach; a retriever that is kept has learned from all likes, a CF model
    that is trained on labels from train, as valid says when that is enough. One older model stays (`RunFolder.before`).
    The run then reads its histories from `source`.

    Returns:
        What stands in update.json: the figures on `part` of `before` and `after`, and of their CF models by themselves.

    Raises:
        CCFError: the run's main model is not there, nothing of it is known to the data set, or its CF model was trained
            together with the language model.
    """
    config = folder.load_config()
    method = config.resolved[config.main]
    if method.cf == "ids" or any(
        "cf" in config.stages[s].train for m in method.needed for s in config.methods[m].stages
    ):
        raise CCFError(f"{config.main}: its vectors were trained with the language model; run ccf-llm train again")
    before = CCFLLM.load(folder.model(config.main), device=config.llm.device)
    config = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    dataset = open_split(config)
    shared = before.item_vocabulary.encode(dataset.items["item_id"]) > 0
    if not shared.any():
        raise CCFError(f"{source}: has none of the model's items, so nothing shows how to read its vectors; train anew")

    def refreshed(rows: Rows) -> CCFLLM:
        say(f"{method.cf}: fitting on {len(rows):,} rows")
        cf = fit_told(method.cf, dataset, rows, config)
        assert isinstance(cf, CFModel)  # it fills slots
        return before.refreshed(dataset, cf.to(before.network.device))

    _tell_what_is_known(folder, dataset, part, say)
    after = refreshed(dataset.rows("train"))
    likeness = vector_likeness(before, after)
    say(f"vectors of {int(shared.sum()):,} items that were there: cosine to their old ones {likeness:.3f} on average")
    found = _measure(config, dataset, part, {"before": before.over(dataset), "after": after})
    if config.ranks:
        after = refreshed(Rows.concat([dataset.rows(name) for name in ("train", "valid", "test")]))
    _keep(folder, config.main, after)
    write_text(folder.config, dump_config(config))
    result = {"part": part, "likeness": likeness, "data": dataset.identity.to_json(), **found, "made": circumstances()}
    write_json(folder.update, result)
    say(f"{config.main} updated in {folder.model(config.main)}; the model before it: {folder.before(config.main)}")
    return result


def vector_likeness(before: CCFLLM, after: CCFLLM) -> float:
    """Mean cosine of the factors that both show for items with training rows in both, weighted by the old rows."""
    old, new = before.network.cf, after.network.cf
    codes = before.item_vocabulary.translated(after.item_vocabulary)
    known = np.flatnonzero((codes > 0) & (old.item_counts.cpu().numpy() > 0))
    known = known[new.item_counts.cpu().numpy()[codes[known]] > 0]
    pair = [_factors(model, which) for model, which in ((old, known), (new, codes[known]))]
    cosines = (pair[0] * pair[1]).sum(1)
    return float(np.average(cosines, weights=old.item_counts.cpu().numpy()[known]))


def _factors(cf: CFModel, codes: Codes) -> Floats:
    """(n, d) at length 1, without the bias."""
    with torch.no_grad():
        vectors = cf.item_embedding(torch.from_numpy(codes).to(cf.device))[:, :-1].cpu().numpy()
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def _tell_what_is_known(folder: RunFolder, dataset: Dataset, part: Part, say: Say) -> None:
    """Say how many rows to be measured the run has learned from: both models know their answers, the old one best."""
    learned = TrainedOn.load(folder.data).learned
    asked = dataset.interactions.filter(pl.col("split") == part)
    if known := len(asked.join(learned, on=ROW, how="semi")):
        say(f"note: {known:,} of the {len(asked):,} {part} rows were learned from in training; both figures flatter")


def _measure(config: RunConfig, dataset: Dataset, part: Part, models: dict[str, CCFLLM]) -> dict[str, Any]:
    """The figures of models, and of their CF models by themselves, on a part of a data set."""
    if config.ranks:
        lists = [frame for name, model in models.items() for frame in _lists(name, model, config, dataset, part)]
        return {"task": "ranking", **evaluate_lists(pl.concat(lists))}
    rows = dataset.rows(part)
    scores: dict[str, Floats] = {}
    for name, model in models.items():
        own = rows.recoded(
            dataset.user_vocabulary.translated(model.users), dataset.item_vocabulary.translated(model.item_vocabulary)
        )
        scores |= {name: model.score_rows(own), f"{name}_cf": model.network.cf.score(own)}
    counts = TrainedOn.of(dataset).counts
    return {"task": "rating", **measure(dataset, rows, scores, counts, part=part, seed=config.seed)}


def _lists(name: str, model: CCFLLM, config: RunConfig, dataset: Dataset, part: Part) -> Iterator[pl.DataFrame]:
    """Lists of the model and of its retriever; what the data set has no more stands in none."""
    users, items = dataset.user_vocabulary, dataset.item_vocabulary.translated(model.item_vocabulary)
    of_data = Asked.of(dataset, part, config.ranking.people)
    known = model.item_vocabulary.encode(dataset.items["item_id"])
    gone = np.setdiff1d(np.arange(1, len(model.items) + 1), known)
    found = of_data.targets
    coded = Targets(
        users.translated(model.users)[found.users],
        histories=[items[codes] for codes in found.histories],
        seen=[np.union1d(items[codes], gone) for codes in found.seen],
        items=[np.sort(items[codes]) for codes in found.items],
    )
    asked = replace(of_data, targets=coded, items=model.items["item_id"].to_list())
    retriever = retriever_of(model.network.cf)
    candidates = Candidates.of(coded, config.ranking.depth, retriever)
    scores = model_scores(model.scorer, candidates)[0]
    yield reranked_lists(name, candidates, scores, asked, config.seed)
    yield retriever_lists(f"{name}_retriever", retriever, asked, config.seed)


def _keep(folder: RunFolder, method: str, model: CCFLLM) -> None:
    """Put the model in its place; what was there stays as the one backup. At any moment there is a model to serve."""
    place = folder.model(method)
    with atomic_folder(folder.before(method)) as temporary:
        shutil.copytree(place, temporary, dirs_exist_ok=True)
    model.save(place)
