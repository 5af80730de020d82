"""Recommendations: retrieve, re-rank, filter, explain."""
