"""Collaborative models: from encoded interactions to scores and, for a language model to read, embeddings."""

from ccf_llm.cf.base import CFConfig, CFModel
from ccf_llm.cf.din import DIN, DINConfig
from ccf_llm.cf.ensemble import Ensemble, EnsembleConfig
from ccf_llm.cf.gbm import GBM, GBMConfig
from ccf_llm.cf.ids import IDVectors, IDVectorsConfig
from ccf_llm.cf.lightgcn import LightGCN, LightGCNConfig
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.mf import MF, MFConfig
from ccf_llm.cf.sasrec import SASRec, SASRecConfig
from ccf_llm.cf.scorer import Scorer
from ccf_llm.cf.store import load_cf

__all__ = [
    "DIN",
    "GBM",
    "MF",
    "CFConfig",
    "CFModel",
    "DINConfig",
    "Ensemble",
    "EnsembleConfig",
    "GBMConfig",
    "IDVectors",
    "IDVectorsConfig",
    "ItemUserMean",
    "LightGCN",
    "LightGCNConfig",
    "MFConfig",
    "SASRec",
    "SASRecConfig",
    "Scorer",
    "load_cf",
]
