"""Whom and what a rerank request names: a person by id or by likes, items by id or by title."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ccf_llm.data.ids import did_you_mean
from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError
from ccf_llm.recommend.recommender import Person
from ccf_llm.serving.schemas import RerankDocument, RerankPerson
from ccf_llm.serving.served import Served
from ccf_llm.serving.store import EventStore, UserRecord

MAX_COMMAS = 5
"""In a title that stands between commas itself."""
SHOWN = 60
"""Letters of a text that nothing is called."""


@dataclass(frozen=True)
class Asked:
    """Texts of a request, read by the catalogue and the people who are known."""

    served: Served
    store: EventStore

    def person(self, query: str | Sequence[str] | RerankPerson) -> Person:
        """Whom to rank for; nothing is left out as seen. A `CCFError` names what nobody and nothing is called."""
        if isinstance(query, RerankPerson):
            return self._known(query.user_id, query.history)
        if not isinstance(query, str):
            return self._known(None, [self._liked(text, f"query.{i}") for i, text in enumerate(query)])
        record = self.store.of_user(query) if query else None
        if self.served.recommender.dataset.user_vocabulary.code(query) or (record and (record.events or record.erased)):
            return self._known(query, [])
        return self._known(None, [item for line in query.splitlines() for item in self._between_commas(line)])

    def documents(self, documents: Sequence[str | RerankDocument]) -> Codes:
        """(n,) item codes; a `CCFError` names the place of one that no item is called."""
        return np.array([self._document(d, f"documents.{i}") for i, d in enumerate(documents)], dtype=np.int64)

    def _known(self, user_id: str | None, history: list[str]) -> Person:
        record = UserRecord([], erased=False) if user_id is None else self.store.of_user(user_id)
        return self.served.person(user_id, record, history, filter_seen=False)

    def _document(self, document: str | RerankDocument, where: str) -> int:
        both = (document,) if isinstance(document, str) else (document.id, document.text)
        named = [text for text in both if text]
        for text in named:
            if code := self._code(text):
                return code
        raise self._unknown(named[0] if named else "", where)

    def _between_commas(self, line: str) -> list[str]:
        """Ids of the items of a line; of the ways to read its commas, the longest title first."""
        pieces = line.split(",")
        found, begin = [], 0
        while begin < len(pieces):
            for end in range(min(len(pieces), begin + MAX_COMMAS + 1), begin, -1):
                text = ",".join(pieces[begin:end]).strip()
                if not text or self._code(text):
                    break
            if text:
                found.append(self._liked(text, "query"))
            begin = end
        return found

    def _liked(self, text: str, where: str) -> str:
        """The id of an item that is named as liked."""
        code = self._code(text)
        if not code:
            raise self._unknown(text, where)
        return self.served.recommender.catalogue.ids[code - 1]

    def _code(self, text: str) -> int:
        """By id, else by title; 0 where nothing is called so."""
        recommender = self.served.recommender
        return recommender.model.item_vocabulary.code(text) or recommender.catalogue.titled(text)

    def _unknown(self, text: str, where: str) -> CCFError:
        code = self.served.recommender.model.item_vocabulary.code
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        remedy = did_you_mean(text, code, "GET /v1/items?query= finds ids by words of a title")
        return CCFError(f"{where}: {shown!r} is no item's id or title; {remedy}")
