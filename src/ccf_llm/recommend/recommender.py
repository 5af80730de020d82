"""Retrieve by CF and by text, re-rank with the language model, filter what was seen."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np
import polars as pl

from ccf_llm.cf.retriever import Retriever as CFRetriever
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.ids import Id, Ids, as_id, as_ids, did_you_mean
from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM, About, probability
from ccf_llm.recommend.arguments import check_choice, check_count, check_flag, check_share
from ccf_llm.recommend.catalogue import Catalogue
from ccf_llm.recommend.diversity import mmr
from ccf_llm.recommend.editions import best_works, first_of_each
from ccf_llm.recommend.following import Following
from ccf_llm.recommend.retrieval import EXACT_UP_TO, ExactRanking, Mask, Positions, Ranking, Retriever

Order = Literal["fused", "cf", "text", "next"]
"""What decides: `fused`, the model; `cf`, the CF model alone; `text`, how close the titles are to those liked; `next`,
what people with these likes chose next (`recommend.following`). Of a model of the ranking task `fused` is what comes
next, by language model and retriever; of one of the rating task, what somebody would like if they met it."""
ORDERS: tuple[Order, ...] = get_args(Order)

SCHEMA: dict[str, type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "rank": pl.Int64,
    "score": pl.Float32,
    "probability": pl.Float64,
    "cf_rank": pl.Int64,
    "text_rank": pl.Int64,
    "collaborative_share": pl.Float32,
}
RERANKED = {name: SCHEMA[name] for name in ("item_id", "title", "rank", "score", "probability")}


@dataclass(frozen=True)
class Person:
    """Whom recommendations are for, in the model's codes."""

    user: int
    """0 for a person whom the model does not know."""
    history: Codes
    """Liked items, oldest first."""
    seen: Codes
    """Items to leave out."""
    words: str | None = None
    """What is told of the person; None for what the model knows of `user`."""

    def rows(self, items: Codes, history: Codes | None = None) -> Rows:
        """Rows that ask for a score of each item, with another history where one is given."""
        likes = self.history if history is None else history
        return Rows.for_candidates(likes, items, user=self.user, user_words=self.words)


@dataclass(frozen=True)
class Filters:
    """Which items may be recommended, by their ids."""

    allow: Sequence[str] | None = None
    """Only these, all of them re-ranked; None for what is retrieved."""
    deny: Sequence[str] = ()
    """Never these."""
    category: str | None = None
    """Only items of this category (see `Catalogue.categories`)."""
    one_edition: bool = False
    """Only the best edition of each work (see `Catalogue.works`)."""

    @classmethod
    def of(cls, candidates: Ids | None, deny: Ids, category: str | None, one_edition: bool) -> Self:
        """From ids as people have them."""
        allow = None if candidates is None else as_ids(candidates, "candidates")
        return cls(allow, as_ids(deny, "denied items"), category, check_flag(one_edition, "one_edition"))


@dataclass(frozen=True)
class Shortlist:
    """What is left after retrieval, to be put in order."""

    person: Person
    items: Codes
    """(n,) codes, best first by what they were retrieved with; in the order `fused`, CF's best and then text's."""
    scores: Floats
    """(n,) CF log-odds; for the order `text` the cosine of their titles, for `next` the retriever's scores."""
    cf_rank: list[int | None]
    """(n,) from 1, among all items that the filters leave; None where an index is used and did not find the item."""
    text_rank: list[int | None]
    """(n,) from 1, among the same."""
    one_edition: bool = False
    """Whether of the editions of a work only the best becomes part of the list."""

    def rows(self) -> Rows:
        """The rows to score with the model."""
        return self.person.rows(self.items)


class Recommender:
    """Recommendations from a trained model.

    Ids of users and items are texts or whole numbers, of Python, numpy or a Series (880, 880.0 and "880" are one id);
    where several are asked for, one by itself is a list of one. See `data.ids`.

    Args:
        model: scores the candidates.
        dataset: the users' likes and what they have seen. Its items that the model does not know can be recommended too
            (`CCFLLM.with_items`).
        retrieve: how many items the language model re-ranks.
        text_share: how many of these, from 0 to 1, are the ones whose titles are closest to those liked, instead of
            CF's best. CF ranks what nobody has met by its mean alone; by its title it is reached too. None: a fifth in
            the rating task, as CF's order is much the better one, and its last candidates are those that are seldom
            chosen; nothing in the ranking task, whose models have learned from a retriever's best.
        exact_up_to: the largest catalogue in which retrieval looks at every item; beyond, see `recommend.retrieval`.
    """

    def __init__(
        self,
        model: CCFLLM,
        dataset: Dataset,
        retrieve: int = 100,
        *,
        text_share: float | None = None,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        """Raises `CCFError` where a number makes no sense."""
        if text_share is None:
            text_share = 0.0 if model.info.task == "ranking" else 0.2
        self.retrieve, self.text_share = check_count(retrieve, "retrieve"), check_share(text_share, "text_share")
        self.exact_up_to = check_count(exact_up_to, "exact_up_to", least=0)
        self.model, self.dataset = model.over(dataset), dataset
        self._own_codes = dataset.item_vocabulary.translated(self.model.item_vocabulary)
        self.catalogue = Catalogue(self.model)
        self.retriever = Retriever(self.catalogue, self.model.network.cf, exact_up_to=exact_up_to)
        self.following = Following(dataset, self.model.item_vocabulary, told_by_words(self.model))
        self._told = self.model.user_words(dataset)

    def with_items(self, items: pl.DataFrame) -> Self:
        """The same over further items, reached and scored by their words; what was fitted is shared, not fitted anew.

        The argument and what is raised are those of `CCFLLM.with_items`.
        """
        grown = copy(self)
        grown.model = self.model.with_items(items)
        grown.catalogue = Catalogue(grown.model)
        grown.retriever = Retriever(grown.catalogue, grown.model.network.cf, exact_up_to=self.exact_up_to)
        grown.following = self.following.over(grown.model.item_vocabulary, told_by_words(grown.model))
        return grown

    def recommend(
        self,
        users: Ids,
        k: int = 10,
        *,
        filter_seen: bool = True,
        candidates: Ids | None = None,
        deny: Ids = (),
        category: str | None = None,
        order: Order | None = None,
        diversity: float = 0.0,
        one_edition: bool = False,
    ) -> pl.DataFrame:
        """The best `k` items for each user; the candidates of all users are scored together.

        Args:
            users: ids of the data set's users; a repeated one is answered once.
            k: how many.
            filter_seen: leave out what the user has interacted with.
            candidates: item ids to choose from, instead of what is retrieved.
            deny: item ids that are never recommended.
            category: only items of this category (see `Catalogue.categories`).
            order: what decides; None: `order` of the recommender.
            diversity: from 0, the best by score, to 1: how much it counts that the items are unlike each other (`mmr`).
            one_edition: of the editions of a work only the best (`Catalogue.works`).

        Returns:
            user_id, item_id, title, rank (from 1), score (log-odds; in the order `text` a cosine, in `next`, and of a
            model of the ranking task, without a unit), probability (null where the score is no log-odds), the item's
            rank by CF alone and by text alone (null where an index did not find it), and the collaborative share of its
            slot. A user for whom nothing is left has no rows; `why_empty` says why.

        Raises:
            CCFError: an unknown user, item, category or order, `k` below 1, `diversity` outside 0 to 1, or the order
                `next` where nobody in the data set likes anything.
        """
        users = list(dict.fromkeys(as_ids(users, "users")))
        self.check_users(users)
        people = [self.person(user, filter_seen=filter_seen) for user in users]
        frames = self._best(people, k, Filters.of(candidates, deny, category, one_edition), order, diversity)
        named = [
            frame.insert_column(0, pl.Series("user_id", [user] * len(frame), dtype=pl.String))
            for user, frame in zip(users, frames, strict=True)
        ]
        return pl.concat(named) if named else pl.DataFrame(schema={"user_id": pl.String, **SCHEMA})

    def recommend_for_history(
        self,
        items: Ids,
        k: int = 10,
        *,
        about: About | None = None,
        candidates: Ids | None = None,
        deny: Ids = (),
        category: str | None = None,
        order: Order | None = None,
        diversity: float = 0.0,
        one_edition: bool = False,
    ) -> pl.DataFrame:
        """The best `k` items for a person who is not a user but likes these items (ids, oldest first).

        `about` holds what is known of the person beside them, by column (`CCFLLM.words_about`); only the order `fused`
        reads it, which then decides where nobody says. The other arguments and what is raised are those of `recommend`,
        and so are the columns, but for user_id.
        """
        filters = Filters.of(candidates, deny, category, one_edition)
        order = "fused" if order is None and about else order
        return self._best([self.stranger(items, about)], k, filters, order, diversity)[0]

    def rerank(
        self,
        history: Ids | None,
        candidates: Ids,
        k: int | None = None,
        *,
        user: Id | None = None,
        about: About | None = None,
    ) -> pl.DataFrame:
        """Somebody else's candidates, best first by the model's own score for a person who likes `history`.

        Nothing is left out, neither what was seen nor what is liked: that is the business of who chose the candidates.

        Args:
            history: ids of liked items, oldest first; None for the likes that the data set knows of `user`.
            candidates: item ids; a repeated one is answered once.
            k: how many; None for all of them.
            user: id of a user whose vector is used too; None for a person whom the model does not know.
            about: what is known of the person, by column (`CCFLLM.words_about`); None for what the data set tells.

        Returns:
            item_id, title, rank (from 1), score (what decided the order) and probability (null of a model of the
            ranking task, whose scores only order). Of equal scores the first candidate comes first.

        Raises:
            CCFError: an item that is not in the catalogue, a user whom neither model nor data set knows, `k` below 1,
                or neither history nor user.
        """
        person = self._known_by(history, user)
        person = replace(person, words=self.model.words_about(about)) if about else person
        items = self.codes(list(dict.fromkeys(as_ids(candidates, "candidates"))), "candidates")
        k = len(items) if k is None else check_count(k, "k")
        scores = self.model.score_rows(person.rows(items))
        best = np.argsort(-scores, kind="stable")[:k]
        columns = {
            "rank": np.arange(1, len(best) + 1),
            "score": scores[best],
            "probability": self.probabilities(scores[best], "fused"),
        }
        return pl.DataFrame({**self._named(items[best] - 1).to_dict(), **columns}, schema=RERANKED)

    def similar(self, item: Id, k: int = 10) -> pl.DataFrame:
        """The `k` items closest to one: liked by the same people or, where nobody likes one of the two, called alike.

        Returns:
            item_id, title, rank (from 1) and similarity: the shrunk cosine of who likes them (`Following.similar`), or
            else the mean cosine of CF vectors and title embeddings, which also parts equals.
        """
        k = check_count(k, "k")
        code = int(self.codes([as_id(item, "similar")], "similar")[0])
        by_vectors = self.catalogue.similar(code)
        closeness = self.following.similar(code, by_vectors)
        order = np.lexsort((-by_vectors, -closeness))
        best = order[order != code - 1][:k]  # it is not an answer to itself
        return self._named(best).with_columns(
            rank=pl.Series(np.arange(1, len(best) + 1), dtype=pl.Int64), similarity=pl.Series(closeness[best])
        )

    def find_items(self, title: str) -> pl.DataFrame:
        """item_id and title of the items that hold the words given, the closest first (`Catalogue.search`)."""
        return self._named(self.catalogue.search(title) - 1)

    def person(self, user: Id, *, filter_seen: bool = True) -> Person:
        """What the data set knows of a user; an unknown one has liked and seen nothing."""
        user, filter_seen = as_id(user, "user"), check_flag(filter_seen, "filter_seen")
        seen = self.dataset.seen_items(user) if filter_seen else np.zeros(0, dtype=np.int64)
        # Model and data set have codes of their own: what passes from one to the other goes by ids.
        own = self._own_codes
        return Person(self.model.users.code(user), own[self.dataset.likes_of(user)], own[seen], self._told.get(user))

    def stranger(self, items: Ids, about: About | None = None) -> Person:
        """A person who is not a user but likes these items (ids, oldest first), and of whom more may be known."""
        history = self.codes(items, "history")
        return Person(0, history, history, self.model.words_about(about) if about else None)

    def check_users(self, users: Ids) -> None:
        """Raises `CCFError` where one is not in the data set."""
        code = self.dataset.user_vocabulary.code
        for user in as_ids(users, "users"):
            if code(user) == 0:
                remedy = did_you_mean(user, code, "recommend from liked items instead")
                raise CCFError(f"user '{user}': not in data set {self.dataset.name}; {remedy}")

    @property
    def order(self) -> Order:
        """What decides where nobody says: what people choose next, by the model if that is what it has learned."""
        return "fused" if self.model.info.task == "ranking" else "next"

    def shortlist(
        self, person: Person, k: int, filters: Filters | None = None, order: Order | None = None
    ) -> Shortlist:
        """What may become the best `k`: for the order `fused` to be scored by the model, else in their order."""
        filters, order = filters or Filters(), order or self.order
        eligible = self._eligible(person, filters)
        cf = self.retriever.by_cf(person.user, person.history, eligible)
        text = self.retriever.by_text(person.history, eligible)
        by = text if order == "text" else cf
        if order == "next":
            words = self.catalogue.text_scores(person.history)
            by = ExactRanking(self.following.scores(person.history, words), eligible)
        works = self.catalogue.works if filters.one_edition else np.arange(len(self.catalogue))
        if filters.allow is not None:
            items = by.best(len(filters.allow))  # of editions that were named, the score chooses
        elif order == "fused" and len(person.history):
            items = self._mixed(cf, text, check_count(k, "k"), works)
        else:
            items = best_works(by, max(check_count(k, "k"), self.retrieve), works)
        ranks = cf.ranks(items), text.ranks(items)
        return Shortlist(person, items + 1, by.scores(items), *ranks, filters.one_edition)

    def ranking(
        self, shortlist: Shortlist, scores: Floats, k: int, order: Order | None = None, diversity: float = 0.0
    ) -> pl.DataFrame:
        """The best `k` of the shortlist by these scores, with the columns of `recommend_for_history`."""
        diversity = check_share(diversity, "diversity")
        left = np.argsort(-scores, kind="stable")
        if shortlist.one_edition:
            left = left[first_of_each(self.catalogue.works[shortlist.items[left] - 1])]
        vectors = (
            self.catalogue.semantic[shortlist.items[left] - 1] if diversity else np.zeros((0, 0), dtype=np.float32)
        )
        best = left[mmr(scores[left], vectors, check_count(k, "k"), diversity)]
        positions = shortlist.items[best] - 1
        columns = {
            "rank": np.arange(1, len(best) + 1),
            "score": scores[best],
            "probability": self.probabilities(scores[best], order or self.order),
            "cf_rank": [shortlist.cf_rank[i] for i in best],
            "text_rank": [shortlist.text_rank[i] for i in best],
            "collaborative_share": self.catalogue.collaborative_shares[positions],
        }
        return pl.DataFrame({**self._named(positions).to_dict(), **columns}, schema=SCHEMA)

    def probabilities(self, scores: Floats, order: Order) -> Floats | list[None]:
        """Of a like, where the scores are log-odds of it: in the orders of the model and of CF, in the rating task."""
        log_odds = order in ("fused", "cf") and self.model.info.task == "rating"
        return probability(scores) if log_odds else [None] * len(scores)

    def why_empty(self, person: Person, filters: Filters | None = None) -> str | None:
        """Why nothing can be recommended, in one line; None where something can."""
        filters = filters or Filters()
        allowed = Filters(filters.allow)
        steps = [
            ("seen already", allowed),
            ("denied", replace(allowed, deny=filters.deny)),
            (f"not in the category '{filters.category}'", filters),
        ]
        all_of_them = left = int(self._eligible(replace(person, seen=person.seen[:0]), allowed).sum())
        lost: list[str] = []
        for why, so_far in steps:
            before, left = left, int(self._eligible(person, so_far).sum())
            lost += [f"{before - left} {why}"] if left < before else []
        if left:
            return None
        if not all_of_them:
            return "no candidates were given"
        those = "items of the catalogue" if filters.allow is None else "candidates"
        return f"none of the {all_of_them} {those} is left: {', '.join(lost)}"

    def codes(self, items: Ids, what: str) -> Codes:
        """Codes of item ids; an unknown one is a `CCFError` that says where it was found."""
        ids, code = as_ids(items, what), self.model.item_vocabulary.code
        codes = np.array([code(item) for item in ids], dtype=np.int64)
        if len(codes) and codes.min() == 0:
            unknown = ids[int(codes.argmin())]
            remedy = did_you_mean(unknown, code, "look ids up with its title")
            raise CCFError(f"{what}: no item '{unknown}' in the model's catalogue; {remedy}")
        return codes

    def _best(
        self, people: list[Person], k: int, filters: Filters, order: Order | None, diversity: float
    ) -> list[pl.DataFrame]:
        """Of each person; the model scores the candidates of all in one call. What is wrong is said before that."""
        k, diversity = check_count(k, "k"), check_share(diversity, "diversity")
        order = self.order if order is None else order
        check_choice(order, "order", ORDERS)
        lists = [self.shortlist(person, k, filters, order) for person in people]
        if order == "fused" and lists:
            scores = self.model.score_rows(Rows.concat([shortlist.rows() for shortlist in lists]))
            ends = np.cumsum([len(shortlist.items) for shortlist in lists])
            parts = np.split(scores, ends[:-1])
        else:
            parts = [shortlist.scores for shortlist in lists]
        return [self.ranking(mine, part, k, order, diversity) for mine, part in zip(lists, parts, strict=True)]

    def _known_by(self, history: Ids | None, user: Id | None) -> Person:
        """A person by likes, by what is known of a user, or by a user's vector and other likes."""
        code = 0 if user is None else self.model.users.code(as_id(user, "user"))
        if user is not None and (history is None or not code):
            self.check_users(user)
        if history is not None:
            words = None if user is None else self._told.get(as_id(user, "user"))
            return replace(self.stranger(history), user=code, words=words)
        if user is None:
            raise CCFError("history is missing; give the ids of liked items, or user=ID for those of the data set")
        return self.person(user)

    def _mixed(self, cf: Ranking, text: Ranking, k: int, works: Positions) -> Positions:
        """CF's best, among them always the `k` that are the answer by CF alone, and then text's best of the others."""
        n = max(k, self.retrieve)
        from_text = round(n * self.text_share)
        by_cf = best_works(cf, max(k, n - from_text), works)
        by_text = best_works(text, from_text + len(by_cf), works)
        return np.concatenate([by_cf, by_text[~np.isin(works[by_text], works[by_cf])][:from_text]])

    def _named(self, positions: Positions) -> pl.DataFrame:
        ids, titles = self.catalogue.ids, self.catalogue.titles
        named = {"item_id": [ids[p] for p in positions], "title": [titles[p] for p in positions]}
        return pl.DataFrame(named, schema={"item_id": pl.String, "title": pl.String})

    def _eligible(self, person: Person, filters: Filters) -> Mask:
        """(n_items,) which items may be recommended."""
        left = np.full(len(self.catalogue), filters.allow is None)
        if filters.allow is not None:
            left[self.codes(filters.allow, "candidates") - 1] = True
        left[person.seen - 1] = False
        left[self.codes(filters.deny, "denied items") - 1] = False
        if filters.category is not None:
            left &= self.catalogue.in_category(filters.category)
        return left


def told_by_words(model: CCFLLM) -> CFRetriever | None:
    """The model's retriever, where it has a prior from text."""
    cf = model.network.cf
    return cf.retriever if isinstance(cf, RetrieverVectors) and cf.reads_words else None
