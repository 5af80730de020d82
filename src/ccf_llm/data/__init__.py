"""Data sets: interactions and items with text, checked, split, imported, encoded."""
