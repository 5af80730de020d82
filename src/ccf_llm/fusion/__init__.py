"""Alignment (ALG), gate (GATE), and what fills a slot."""
