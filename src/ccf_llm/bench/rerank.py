"""Re-ranking with less of the model, and with a sentence encoder instead of it: rates and waiting times of one run."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from ccf_llm.bench.machine import fastest
from ccf_llm.bench.scoring import HISTORY, SHORT
from ccf_llm.bench.setting import Setting
from ccf_llm.data.rows import Floats, Rows
from ccf_llm.io.progress import Say
from ccf_llm.llm.base import base_config
from ccf_llm.llm.runtime import choose_device
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.scoring import PrefixCache, SharedPrefixScorer
from ccf_llm.text.sentences import SentenceEncoder
from ccf_llm.text.titles import reading_order

COUNTS = (32, 100)
"""Candidates of one person, for the rates."""
SECONDS = 3.0
"""For each rate a way runs for at least so long; the shortest call counts."""
LIST = 20
"""Candidates that one person waits for."""
PEOPLE = 10
"""People who wait, those with the longest histories."""
CALLS = 60
"""Times that somebody waits, the people in turn, each time with other candidates."""
TARGETS: dict[str, dict[str, Any]] = {
    "in words": {},
    "as one token": {"candidate_titles": False},
    "as the token that answers": {"candidate_titles": False, "answer_at": "item"},
}
"""How a prompt names its target item."""

Score = Callable[[Rows], Floats]


def bench_rerank(
    setting: Setting,
    *,
    layers: int,
    plain_per_s: float,
    encoder: SentenceEncoder | None = None,
    say: Say = print,
) -> list[dict[str, Any]]:
    """For each way of re-ranking its rates, their ratios to the plain way, and what one person waits.

    Args:
        setting: data and base model.
        layers: how many layers of the base model the smaller one has.
        plain_per_s: candidates per second of the plain way (`bench_scoring`) in the same run.
        encoder: what people would use instead; None leaves it out.
        say: gets a line for each way.

    Raises:
        CCFError: the data has no known user in its test part, or the base model not so many layers.
    """
    bench = _Rerank(setting, plain_per_s, say)
    bench.language_models(layers)
    if encoder is not None:
        bench.sentences(encoder)
    return bench.ways


def smaller(setting: Setting, layers: int | None) -> int:
    """`layers`, where the base model has so many; None stands for two fifths of them (12 of 30)."""
    depth: int = base_config(setting.source, layers).get_text_config().num_hidden_layers
    return layers or max(1, round(0.4 * depth))


class _Rerank:
    """The same requests for every way of scoring, and what each way took."""

    def __init__(self, setting: Setting, plain_per_s: float, say: Say) -> None:
        self.setting, self.plain_per_s, self.say = setting, plain_per_s, say
        self.device = choose_device(setting.device)
        known = np.unique(setting.dataset.rows("test").users)
        people = setting.readers(max(1, min(PEOPLE, int((known > 0).sum()))))
        self.work = {n: setting.candidates(*people[0], n) for n in COUNTS}
        turns = [people[call % len(people)] for call in range(CALLS)]
        self.lists = [setting.candidates(*person, LIST, seed=call) for call, person in enumerate(turns)]
        self.ways: list[dict[str, Any]] = []
        """One entry for each way: its name, dtype, rates, ratios, and milliseconds that a person waits."""

    def language_models(self, layers: int) -> None:
        """All layers and the first `layers`, the history in words or as one token an item, each of `TARGETS`."""
        for kept in (None, layers):
            network = self.setting.network("auto", SHORT, HISTORY, layers=kept)
            scorer = SharedPrefixScorer(network)
            depth = network.llm.body.config.num_hidden_layers
            for history_titles in (True, False):
                for target, settings in TARGETS.items():
                    template = HybridTemplate.model_validate({"history_titles": history_titles, **settings})
                    network.encoder = network.encoder.with_template(template)
                    history = "in words" if history_titles else "as one token"
                    name = f"{depth} layers, history {history}, target {target}"
                    cached = SharedPrefixScorer(network, cache=PrefixCache())
                    self._measure(name, network.llm.dtype, scorer.score, cached.score)
            del network, scorer, cached

    def sentences(self, encoder: SentenceEncoder) -> None:
        """The bi-encoder that people take: the mean of the history's titles against each candidate's title.

        With the titles read anew in each request, and with the catalogue's vectors kept, which it allows as a vector
        knows nothing of the person.
        """
        titles = ["", *map(reading_order, self.setting.dataset.items["title"].to_list())]
        vectors = encoder.encode(titles)

        def anew(rows: Rows) -> Floats:
            history = rows.history(0)[-HISTORY.items :]
            read = encoder.encode([titles[code] for code in (*history, *rows.items)])
            return _cosines(read[len(history) :], read[: len(history)])

        def kept(rows: Rows) -> Floats:
            return _cosines(vectors[rows.items], vectors[rows.history(0)[-HISTORY.items :]])

        self._measure("sentence encoder, titles read anew", encoder.dtype, anew)
        self._measure("sentence encoder, vectors kept", encoder.dtype, kept)

    def _measure(self, name: str, dtype: torch.dtype, score: Score, known: Score | None = None) -> None:
        """Note rates and waiting times; `known` scores people whose prefix it has read before."""
        way: dict[str, Any] = {"way": name, "dtype": str(dtype).removeprefix("torch.")}
        for n, rows in self.work.items():
            rate = n / fastest(partial(score, rows), self.device, seconds=SECONDS)
            way |= {f"per_s_{n}": round(rate, 1), f"ratio_{n}": round(rate / self.plain_per_s, 2)}
        way |= self._waits(score)
        if known is not None:
            way |= {f"known_{key}": value for key, value in self._waits(known).items()}
        self.ways.append(way)
        self.say(f"{name}: {rate:.1f} candidates/s; {LIST} candidates in {way['p50_ms']} ms, p95 {way['p95_ms']} ms")

    def _waits(self, score: Score) -> dict[str, float]:
        """Milliseconds that one person waits for `LIST` candidates, after each person has been there once: median, 95th
        percentile, and the shortest, which says most where other work shares the machine.
        """
        for rows in self.lists[:PEOPLE]:
            score(rows)
        waits = []
        for rows in self.lists:
            begun = time.perf_counter()
            score(rows)
            waits.append(1000 * (time.perf_counter() - begun))
        shares = {"p50_ms": np.percentile(waits, 50), "p95_ms": np.percentile(waits, 95), "least_ms": min(waits)}
        return {name: round(float(milliseconds), 2) for name, milliseconds in shares.items()}


def _cosines(candidates: Floats, history: Floats) -> Floats:
    """(N,) mean cosine of each candidate's vector (N, d) with those of the history (h, d)."""
    cosines: Floats = candidates @ history.mean(axis=0)
    return cosines
