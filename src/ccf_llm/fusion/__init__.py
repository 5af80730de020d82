"""Alignment (ALG), gate (GATE), what fills a slot, and the blend of both models' scores."""
