"""Collaborative models: from encoded interactions to scores and, for a language model to read, embeddings."""

from ccf_llm.cf.base import CFConfig, CFModel, Scorer
from ccf_llm.cf.load import load_cf
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.mf import MF, MFConfig

__all__ = ["MF", "CFConfig", "CFModel", "ItemUserMean", "MFConfig", "Scorer", "load_cf"]
