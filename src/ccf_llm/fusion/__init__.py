"""Alignment (ALG), gate (GATE), and what fills a slot."""

from ccf_llm.fusion.fusion import Fusion, FusionConfig, FusionPair, Variant
from ccf_llm.fusion.slots import fill_slots, to_norm

__all__ = ["Fusion", "FusionConfig", "FusionPair", "Variant", "fill_slots", "to_norm"]
