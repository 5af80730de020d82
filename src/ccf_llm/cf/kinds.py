"""The kinds of collaborative models, and a saved one of whichever kind."""

from pathlib import Path

from ccf_llm.cf.als import ALS
from ccf_llm.cf.base import CFModel
from ccf_llm.cf.din import DIN
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.ensemble import Ensemble
from ccf_llm.cf.gbm import GBM, GBMWords
from ccf_llm.cf.ids import IDVectors
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.l3ae import L3AE
from ccf_llm.cf.lightgcn import LightGCN
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.mf import MF
from ccf_llm.cf.popularity import Popularity
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.retriever_ensemble import RetrieverEnsemble
from ccf_llm.cf.sasrec import SASRec
from ccf_llm.cf.sasrec_softmax import SASRecSoftmax
from ccf_llm.cf.scorer import Scorer
from ccf_llm.cf.store import SETTINGS_FILE, read_settings
from ccf_llm.cf.vectors import (
    ALSVectors,
    EASEVectors,
    EnsembleVectors,
    KNNVectors,
    L3AEVectors,
    PopularityVectors,
    RetrieverVectors,
    SASRecSoftmaxVectors,
)
from ccf_llm.errors import CCFError

MODELS: dict[str, type[CFModel]] = {model.kind: model for model in (MF, LightGCN, SASRec, DIN, Ensemble)}
"""Collaborative models with vectors, by kind."""
RANKERS: dict[str, type[RetrieverVectors]] = {
    model.kind: model
    for model in (
        PopularityVectors,
        KNNVectors,
        EASEVectors,
        L3AEVectors,
        ALSVectors,
        SASRecSoftmaxVectors,
        EnsembleVectors,
    )
}
"""Retrievers as collaborative models, by kind: those of the ranking task."""
VECTORS: dict[str, type[CFModel]] = {**MODELS, **RANKERS, "ids": IDVectors}
"""Everything that can fill slots, and popularity, which cannot."""
FITTED: dict[str, type[CFModel] | type[GBM]] = {**MODELS, **RANKERS, "gbm": GBM, "gbm_words": GBMWords}
"""Everything that is fitted with settings."""
KINDS: dict[str, type[CFModel] | type[GBM] | type[ItemUserMean]] = {"mean": ItemUserMean, **VECTORS, **FITTED}
"""All kinds that can be saved and loaded."""
RETRIEVERS: dict[str, type[Retriever]] = {
    model.kind: model for model in (Popularity, ItemKNN, EASE, L3AE, ALS, SASRecSoftmax, RetrieverEnsemble)
}
"""What ranks the catalogue by likes alone, by kind."""


def load_cf(folder: Path) -> Scorer:
    """The model that was saved in `folder`; raises `CCFError` where there is none or its kind is not known."""
    kind = read_settings(folder).get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CCFError(f"{Path(folder) / SETTINGS_FILE}: kind {kind!r} is not one of {', '.join(KINDS)}")
    return KINDS[kind].load(folder)


def load_retriever(folder: Path) -> Retriever:
    """The retriever that was saved in `folder`; raises as `load_cf` does."""
    kind = read_settings(folder).get("kind")
    if not isinstance(kind, str) or kind not in RETRIEVERS:
        raise CCFError(f"{Path(folder) / SETTINGS_FILE}: kind {kind!r} is not one of {', '.join(RETRIEVERS)}")
    return RETRIEVERS[kind].load(folder)
