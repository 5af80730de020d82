"""Stages, the loop, packing into steps, checkpoints."""
