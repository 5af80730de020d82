"""Scores of many candidates: each shared prefix once, candidates in batches, prefixes kept for users who come back."""

from ccf_llm.scoring.cache import PrefixCache, PrefixFiles
from ccf_llm.scoring.scorer import SharedPrefixScorer

__all__ = ["PrefixCache", "PrefixFiles", "SharedPrefixScorer"]
