"""What the routes call: answers of the CF model at once, of the language model by the deadline, and events."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.memory import give_back
from ccf_llm.model.ccfllm import CCFLLM, probability
from ccf_llm.recommend.explain import LeaveOneOut
from ccf_llm.recommend.recommender import Filters, Order, Person, Shortlist
from ccf_llm.serving import schemas
from ccf_llm.serving.asked import Asked
from ccf_llm.serving.batcher import Batcher, LateError
from ccf_llm.serving.metrics import Metrics
from ccf_llm.serving.problems import ProblemError
from ccf_llm.serving.quick import Quick
from ccf_llm.serving.recorder import Recorder
from ccf_llm.serving.served import Served
from ccf_llm.serving.settings import ServeSettings
from ccf_llm.serving.store import Event, EventStore, UserRecord

ANSWER_SECONDS = 0.004
"""What it takes to write one answer, where the cores are busy."""
NOTHING = UserRecord([], erased=False)
log = logging.getLogger("ccf_llm.serving")
T = TypeVar("T")


class Service:
    """One model, one store, the threads that work for them.

    Args:
        path: a model folder or a run folder; `reload` reads it anew.
        store: events.
        settings: limits.
    """

    def __init__(self, path: Path, store: EventStore, settings: ServeSettings) -> None:
        """Load the model; a `CCFError` says why that fails."""
        self.path, self.store, self.settings = path, store, settings
        self._taken_in = store.changes()
        self.served = Served.load(path, settings.retrieve).with_added(store.items.all())
        self.recorder = Recorder(store)
        self.batcher = Batcher(settings.waiting)
        self.metrics = Metrics(self.batcher)
        threadpool_limits(1, user_api="blas")
        self._quick = Quick(2)
        # What the language model has scored is due soon: it does not queue behind those who have just come.
        self._due = Quick(1)
        self._reloading = asyncio.Lock()
        self._swapping = asyncio.Lock()

    def close(self) -> None:
        """Finish what was accepted, and stop."""
        self.batcher.close()
        self.recorder.close()
        self._quick.close()
        self._due.close()
        self.store.close()

    async def recommend(self, ask: schemas.RecommendRequest, arrived: float) -> dict[str, Any]:
        """The best items for a person."""
        served, recommender = self.served, self.served.recommender
        filters = Filters(ask.candidates, ask.exclude, ask.category, ask.one_edition)
        wanted = ask.order or ("fused" if ask.about else recommender.order)
        waits = wanted == "fused" and served.model.network.uses_llm

        def rank(shortlist: Shortlist, scores: Floats, order: Order) -> dict[str, Any]:
            frame = recommender.ranking(shortlist, scores, ask.k, order, ask.diversity)
            codes = recommender.codes(frame["item_id"], "items")
            items = [row | served.item(code) for row, code in zip(frame.to_dicts(), codes, strict=True)]
            return {
                **self._about(served, shortlist.person, degraded=order != wanted),
                "order": order,
                "items": items,
                "reason": None if items else recommender.why_empty(shortlist.person, filters),
            }

        def first() -> tuple[Shortlist, dict[str, Any]]:
            person = self._person(served, ask, filter_seen=ask.filter_seen)
            shortlist = recommender.shortlist(person, ask.k, filters, wanted)
            if wanted == "fused" and not waits:  # the language model decides nothing
                return shortlist, rank(shortlist, served.model.score_rows(shortlist.rows()), wanted)
            return shortlist, rank(shortlist, shortlist.scores, "cf" if waits else wanted)

        deadline, erasures = self._deadline(ask, arrived), self.batcher.erasures
        if waits:
            self.batcher.check()
        # The CF answer is made before the language model is waited for, so that nothing is left to do at the deadline.
        # It is begun in the first half of the time, or not at all: the other half is for what was not foreseen.
        shortlist, answer = await self._quick.do(first, (arrived + deadline) / 2)
        if waits:
            scores = await self._score(served.model, shortlist.rows(), deadline, erasures)
            if scores is not None:
                answer = await self._due.do(lambda: rank(shortlist, scores, "fused"))
        return answer

    async def score(self, ask: schemas.ScoreRequest, arrived: float) -> dict[str, Any]:
        """Scores of items for a person."""
        served, recommender = self.served, self.served.recommender

        def prepare() -> tuple[Person, Rows]:
            person = self._person(served, ask, filter_seen=False)
            codes = recommender.codes(ask.item_ids, "item_ids")
            return person, person.rows(codes)

        person, scores, late = await self._by_deadline(served, ask, arrived, prepare)
        return {
            **self._about(served, person, degraded=late),
            "scores": [
                {"item_id": item, "score": float(score), "probability": p if p is None else float(p)}
                for item, score, p in zip(ask.item_ids, scores, recommender.probabilities(scores, "fused"), strict=True)
            ],
        }

    async def rerank(self, ask: schemas.RerankRequest, arrived: float) -> dict[str, Any]:
        """Somebody else's candidates, best first."""
        served = self.served

        def prepare() -> tuple[tuple[Person, Codes], Rows]:
            asked = Asked(served, self.store)
            person, items = asked.person(ask.query), asked.documents(ask.documents)
            return (person, items), person.rows(items)

        (person, items), scores, late = await self._by_deadline(served, ask, arrived, prepare)
        best = np.argsort(-scores, kind="stable")[: ask.top_n]
        shown = [served.item(items[i]) for i in best] if ask.return_documents else [None] * len(best)
        return {
            **self._about(served, person, degraded=late),
            "results": [
                {
                    "index": int(i),
                    "relevance_score": float(p),
                    "score": float(scores[i]),
                    "document": item and {"id": item["item_id"], "text": item["title"]},
                }
                for i, p, item in zip(best, probability(scores[best]), shown, strict=True)
            ],
        }

    async def explain(self, ask: schemas.ExplainRequest, arrived: float) -> dict[str, Any]:
        """Which likes raise the score of each item."""
        served, recommender = self.served, self.served.recommender

        def prepare() -> tuple[LeaveOneOut, Rows]:
            person = self._person(served, ask, filter_seen=False)
            reasons = LeaveOneOut.of(person, recommender.codes(ask.item_ids, "item_ids"))
            return reasons, reasons.rows()

        reasons, scores, late = await self._by_deadline(served, ask, arrived, prepare)
        return {
            **self._about(served, reasons.person, degraded=late),
            "items": [
                served.item(code)
                | {
                    "collaborative_share": float(recommender.catalogue.collaborative_shares[code - 1]),
                    "reasons": [
                        served.item(reasons.likes[i]) | {"effect": float(mine[i])} for i in reasons.strongest(mine)
                    ],
                }
                for code, mine in zip(reasons.items, reasons.effects(scores), strict=True)
            ],
        }

    async def record(self, event: Event) -> bool:
        """Put an event on disk; whether it was there already."""
        self.served.recommender.codes([event.item_id], "item_id")
        outcome = await asyncio.wrap_future(self.recorder.record(event))
        if outcome == "conflict":
            raise ProblemError(409, f"key '{event.key}': belongs to another event; give each event a key of its own")
        self.metrics.events.labels(event.kind, outcome).inc()
        return outcome == "duplicate"

    async def add_item(self, item_id: str, words: dict[str, str]) -> bool:
        """Keep an item that came after training, and take it in; whether it was there already."""
        item, known = self.served.added(item_id, words), self.served.known(item_id)
        outcome = "duplicate" if known == item else "conflict"
        if known is None:
            outcome = await asyncio.to_thread(self.store.items.add, item, self.settings.added_items)
        if outcome == "conflict":
            raise ProblemError(409, f"item_id '{item_id}': is there with other words; choose another id")
        if outcome == "full":
            raise ProblemError(409, f"{self.settings.added_items} items were added; train again with them in the data")
        await self._take_in_items()
        return outcome == "duplicate"

    async def erase(self, user_id: str) -> int:
        """Delete a person's events and what memory holds; the data set's rows of that id are not used any more."""
        deleted = await asyncio.wrap_future(self.recorder.erase(user_id))
        # Whoever has read the history before this line is told apart by the batcher's count.
        await asyncio.wrap_future(self.batcher.forget(self.served.model))
        return deleted

    async def search(self, query: str, limit: int) -> list[dict[str, Any]]:
        """Items by their words."""
        served = self.served
        try:
            found = await self._quick.do(lambda: served.recommender.catalogue.search(query, limit))
        except CCFError:  # no words, such as a bracket alone: nothing is found
            return []
        return [served.item(code) for code in found]

    async def similar(self, item_id: str, k: int) -> list[dict[str, Any]]:
        """The `k` items closest to one."""
        served = self.served
        found = await self._quick.do(lambda: served.recommender.similar(item_id, k))
        codes = served.recommender.codes(found["item_id"], "items")
        return [
            served.item(code) | {"similarity": similarity}
            for code, similarity in zip(codes, found["similarity"], strict=True)
        ]

    async def likes(self, user_id: str) -> dict[str, Any]:
        """What is known of a user."""
        served = self.served

        def read() -> dict[str, Any]:
            record = self.store.of_user(user_id)
            person = served.person(user_id, record, [], filter_seen=False)
            disliked = [code for code, kind in served.latest_events(record).items() if kind == "dislike"]
            return {
                "likes": [served.item(code) for code in person.history[::-1]],
                "dislikes": [served.item(code) for code in disliked[::-1]],
            }

        return await self._quick.do(read)

    async def reload(self) -> dict[str, str]:
        """`_reload`, here and by the other servers of the database."""
        versions = await self._reload()
        await asyncio.to_thread(self.store.note_reload)
        return versions

    async def follow(self, ended: asyncio.Event) -> None:
        """Take in, until the end, what other servers of the database have done to what this one keeps in memory."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self.settings.follow_seconds)
                return
            try:
                await self._catch_up(await asyncio.to_thread(self.store.changes))
            except Exception as error:  # the database is away, or the new model does not load
                log.warning("cannot follow the other servers of the store: %s", one_line(error))

    async def _catch_up(self, changes: dict[str, int]) -> None:
        new = {change for change, number in changes.items() if number != self._taken_in.get(change)}
        if "erased" in new:
            await asyncio.wrap_future(self.batcher.forget(self.served.model))
        if "items" in new:
            await self._take_in_items()
        self._taken_in = changes  # a model that does not load is not tried again and again
        if "reload" in new and not await asyncio.to_thread(self.served.is_current, self.path):
            await self._reload()

    async def _take_in_items(self) -> None:
        async with self._swapping:  # those that came while others were taken in are taken in together
            self.served = await asyncio.to_thread(lambda: self.served.with_added(self.store.items.all()))

    async def _reload(self) -> dict[str, str]:
        """Load the model anew beside the one that serves, try it, and swap; what is under way ends with the old one."""
        if self._reloading.locked():
            raise ProblemError(409, "a reload is under way; wait until it ends")
        async with self._reloading:
            previous = self.served.version
            try:
                loaded = await asyncio.to_thread(Served.load, self.path, self.settings.retrieve)
            except CCFError as error:
                raise ProblemError(
                    409, f"the old model goes on serving, for the new one does not load: {error}"
                ) from None
            async with self._swapping:
                self.served = await asyncio.to_thread(lambda: loaded.with_added(self.store.items.all()))
            await asyncio.to_thread(give_back)
            return {"model": self.served.version, "previous": previous}

    async def _by_deadline(
        self, served: Served, ask: schemas.Timed, arrived: float, prepare: Callable[[], tuple[T, Rows]]
    ) -> tuple[T, Floats, bool]:
        """What `prepare` finds, the scores of its rows, and whether they are CF's because the model was too late."""

        def first() -> tuple[T, Rows, Floats]:
            found, rows = prepare()
            model = served.model
            return found, rows, model.network.cf.score(rows) if waits else model.score_rows(rows)

        waits = served.model.network.uses_llm
        deadline, erasures = self._deadline(ask, arrived), self.batcher.erasures
        if waits:
            self.batcher.check()
        found, rows, cf = await self._quick.do(first, (arrived + deadline) / 2)
        if not waits:
            return found, cf, False
        scores = await self._score(served.model, rows, deadline, erasures)
        return found, cf if scores is None else scores, scores is None

    async def _score(self, model: CCFLLM, rows: Rows, deadline: float, erasures: int) -> Floats | None:
        """The model's scores, or None once it is clear that they are not there by the deadline."""
        if len(rows) == 0:
            return np.zeros(0, dtype=np.float32)
        try:
            # Those who wait may all be answered at the same moment: the last one too should be in time.
            reserve = ANSWER_SECONDS * (1 + self.batcher.depth)
            now = time.monotonic()
            until = now + max(deadline - now - reserve, (deadline - now) / 2)
            async with asyncio.timeout(until - now):
                return await asyncio.wrap_future(self.batcher.score(model, rows, until, erasures))
        except (LateError, TimeoutError):
            self.metrics.degraded.inc()
            return None

    def _person(self, served: Served, ask: schemas.Whom, *, filter_seen: bool) -> Person:
        record = self.store.of_user(ask.user_id) if ask.user_id is not None else NOTHING
        person = served.person(ask.user_id, record, ask.history, filter_seen=filter_seen)
        return replace(person, words=served.model.words_about(ask.about)) if ask.about else person

    def _deadline(self, ask: schemas.Timed, arrived: float) -> float:
        return arrived + (ask.deadline_ms or self.settings.deadline_ms) / 1000

    @staticmethod
    def _about(served: Served, person: Person, *, degraded: bool) -> dict[str, Any]:
        return {"model": served.version, "degraded": degraded, "history": len(person.history)}
