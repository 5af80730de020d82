"""What a run's retrievers are told of the items beside likes, and its language model of users."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.prior import STATES, Words
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix
from ccf_llm.evaluation.known import held_out
from ccf_llm.experiments.config import RunConfig
from ccf_llm.io.hashing import fingerprint
from ccf_llm.llm.base import load_tokenizer
from ccf_llm.llm.reading import reader_key, state_model, state_width, text_vectors
from ccf_llm.llm.source import resolve_model
from ccf_llm.model.build import details_of, told_by_code
from ccf_llm.prompts.details import Details
from ccf_llm.text.sentences import SENTENCES, encoder_key, sentence_vectors
from ccf_llm.text.titles import reading_order
from ccf_llm.text.words import texts_of


def words_of(config: RunConfig, dataset: Dataset) -> Words | None:
    """The vectors of the items' texts, where the run has a prior from text."""
    if config.cf.prior.words == "none":
        return None
    prior = config.cf.prior
    vectors = text_vectors(item_texts(config, dataset), prior.words)
    return Words.of(vectors, prior, _new(config, dataset), states=state_width(prior.words))


def item_words(dataset: Dataset) -> ItemWords:
    """What trees are told of the items: categories, years, and titles by a sentence encoder."""
    titles = [reading_order(title) for title in dataset.items["title"]]
    return ItemWords.of(dataset.items, sentence_vectors(titles))


def item_words_key(dataset: Dataset) -> str:
    """What decides `item_words`, without reading the titles."""
    return fingerprint([encoder_key(SENTENCES), dataset.items.to_dicts()])


def _new(config: RunConfig, dataset: Dataset) -> NDArray[np.bool_] | None:
    """(n_items + 1,) which items are new: nobody likes them in training, or the split holds them out, if it does."""
    if config.cf.prior.unmet == "new":
        unmet: NDArray[np.bool_] = likes_matrix(dataset, "train").getnnz(axis=0) == 0
        unmet[0] = False  # no item
        return unmet
    new = held_out(dataset)
    return None if new is None else np.pad(dataset.items["item_id"].is_in(new.implode()).to_numpy(), (1, 0))


def words_key(config: RunConfig, dataset: Dataset) -> str | None:
    """What decides `words_of`, without reading the texts."""
    prior = config.cf.prior
    if prior.words == "none":
        return None
    # Where nothing is new its length decides nothing; `unmet` is younger than models that are kept.
    idle = {"new_length"} if _new(config, dataset) is None else set()
    settings = prior.model_dump(mode="json", exclude=idle | ({"unmet"} if prior.unmet == "passed over" else set()))
    counted: list[float | str] = [STATES] if state_model(prior.words) else []
    counted += [] if _new(config, dataset) is None else ["speak in histories"]
    return fingerprint([reader_key(prior.words), item_texts(config, dataset), settings, *counted])


def user_words(config: RunConfig, dataset: Dataset) -> list[str]:
    """What is told of users, by code, within budgets of the base model's tokens; none where `data.user_details` is."""
    told = config.data.user_details
    if not told:
        return []
    return told_by_code(dataset.users, dataset.user_vocabulary, told, load_tokenizer(resolve_model(config.llm.model)))


def item_texts(config: RunConfig, dataset: Dataset) -> list[str]:
    """Title and `data.details` of each item, the latter within budgets of the base model's tokens."""
    return _item_texts(config.llm.model, config.data.details, dataset)


@lru_cache(maxsize=1)  # each CF model of a run asks for them, and a tokenizer takes a second to load
def _item_texts(model: str, details: Details, dataset: Dataset) -> list[str]:
    told = details_of(dataset.items, details, load_tokenizer(resolve_model(model))) if details else None
    return texts_of(dataset.items["title"].to_list(), told)
