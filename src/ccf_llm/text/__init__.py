"""Titles and attributes as words."""
