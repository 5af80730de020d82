"""The items of a model: searched by words, compared by vectors, filtered by category."""

from functools import cached_property

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccf_llm.data.categories import MAX_CATEGORIES, entries_of
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.search import WordSearch
from ccf_llm.text.lines import clean
from ccf_llm.text.titles import reading_order
from ccf_llm.text.works import authors_of, fold, works_of

FUSE_BATCH = 4096


class Catalogue:
    """What can be asked of items alone. Item code c is at position c - 1 of every list and array.

    Args:
        model: its items, its semantic embeddings, its CF vectors and its gate.
    """

    def __init__(self, model: CCFLLM) -> None:
        self._network = model.network
        self.ids: list[str] = model.items["item_id"].to_list()
        self.titles = [_shown(title) for title in model.items["title"]]
        """As people are shown them, and as the model reads them, but whole."""
        self.details: list[str] = model.network.encoder.details[1:] if model.details else []
        """What is told of each item beside its title, as the model reads it."""
        self._columns = model.items.select(pl.col(*model.details).cast(pl.String)) if model.details else pl.DataFrame()
        self._authors = authors_of(model.items)
        further = self.details or [""] * len(self.ids)
        self._words = WordSearch(self.titles, [f"{a} {b}" for a, b in zip(self._authors, further, strict=True)])

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, words: str, limit: int | None = None) -> Codes:
        """Codes of the items that hold all words, or words spelt nearly so where none does (see `WordSearch`).

        The title that is just that comes first, then titles that begin so, then those that hold all words before items
        of which they are told elsewhere, and the misspelt last; of these, what more people have met.

        Raises:
            CCFError: there are no words, or nothing but signs that every item holds.
        """
        found, amiss = self._words.find(words)
        wanted, titles = fold(words), self._words.titles.gather(found)
        met = self._network.cf.item_counts.cpu().numpy()[found + 1]
        begins = titles.str.starts_with(wanted).to_numpy()
        order = np.lexsort((-met, amiss, ~begins, (titles != wanted).to_numpy()))[:limit]
        codes: Codes = found[order] + 1
        return codes

    def titled(self, title: str) -> int:
        """Code of the item that has this title, whatever its case, accents and article; 0 where none has it.

        Of several the one that most people have met.
        """
        return self._by_title.get(fold(_shown(title)), 0)

    @cached_property
    def _by_title(self) -> dict[str, int]:
        met = self._network.cf.item_counts[1:].cpu().numpy()
        best_last = np.argsort(-met, kind="stable")[::-1]
        return {self._words.titles[int(i)]: int(i) + 1 for i in best_last}

    def similar(self, item: int) -> Floats:
        """(n_items,) closeness of every item to the one of code `item`: mean cosine of CF and semantic vectors.

        An item that CF has never met has no direction there (its vector is the mean), so its words alone count.
        """
        closeness: Floats = (self._cf @ self._cf[item - 1] + self.semantic @ self.semantic[item - 1]) / 2
        return closeness

    def text_scores(self, history: Codes) -> Floats:
        """(n_items,) cosine of every title's semantic embedding with the mean of the liked ones'; no CF, no LLM.

        All zero for an empty history.
        """
        scores: Floats = self.semantic @ self.text_query(history)
        return scores

    def text_query(self, history: Codes) -> Floats:
        """(d,) unit vector along the mean of the liked titles' semantic embeddings; zero for an empty history."""
        if len(history) == 0:
            return np.zeros(self.semantic.shape[1], dtype=np.float32)
        mean: Floats = self.semantic[history - 1].mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-9)

    @cached_property
    def collaborative_shares(self) -> Floats:
        """(n_items,) how much of each item's slot comes from CF: 0 text only, 1 CF only (see `Fusion`)."""
        network = self._network
        codes = torch.arange(1, len(self) + 1, device=network.device)
        with torch.no_grad():
            shares = [network.fuse_items(part, network.cf)[1].float().cpu() for part in torch.split(codes, FUSE_BATCH)]
        return torch.cat(shares).numpy()

    @cached_property
    def works(self) -> NDArray[np.int64]:
        """(n_items,) a number for each work, which its editions share (`text.works`)."""
        return works_of(self.titles, self._authors)

    @cached_property
    def categories(self) -> dict[str, NDArray[np.bool_]]:
        """Category -> (n_items,) which items have it: the entries between commas of the columns of the items' details.

        Columns of numbers, such as years, and those whose entries are so varied that they sort nothing are left out.
        """
        found: dict[str, NDArray[np.bool_]] = {}
        for column in self._columns:
            entries, names = entries_of(column)
            if len(names) <= MAX_CATEGORIES and not all(name.isdecimal() for name in names):
                for name in names:
                    has = entries.list.contains(name).to_numpy()
                    found[name] = found[name] | has if name in found else has
        return dict(sorted(found.items()))

    def in_category(self, name: str) -> NDArray[np.bool_]:
        """(n_items,) which items have the category; an unknown one is a `CCFError` that lists what there is."""
        if not isinstance(name, str) or name not in self.categories:
            known = ", ".join(self.categories) or "none in this catalogue"
            raise CCFError(f"category '{name}': unknown; choose one of: {known}")
        return self.categories[name]

    @cached_property
    def _cf(self) -> Floats:
        network = self._network
        with torch.no_grad():
            vectors = network.cf.item_embedding(torch.arange(1, len(self) + 1, device=network.cf.device))
        return _directions(vectors, network.cf.item_counts[1:] > 0)

    @cached_property
    def semantic(self) -> Floats:
        """(n_items, d) unit vectors of the titles' semantic embeddings, around their mean."""
        vectors = self._network.semantic[1:]
        return _directions(vectors, torch.ones(len(vectors), dtype=torch.bool, device=vectors.device))


def _shown(title: str) -> str:
    return clean(reading_order(title), limit=None)


def _directions(vectors: Tensor, known: Tensor) -> Floats:
    """Unit vectors around the mean of the known ones, which all point to, with loud dimensions damped.

    Each dimension is divided by the root of its variance plus the mean variance: an item bias, which varies most, would
    otherwise call all popular items alike; full whitening would let the noise of quiet dimensions speak.
    """
    known_vectors = vectors[known].detach().float()
    variance = known_vectors.var(0, correction=0)
    scaled = (vectors.detach().float() - known_vectors.mean(0)) / (variance + variance.mean()).sqrt().clamp(min=1e-6)
    unit: Floats = (scaled / scaled.norm(dim=1, keepdim=True).clamp(min=1e-6)).cpu().numpy()
    return unit
