"""Collaborative models: from encoded interactions to scores and, for a language model to read, embeddings."""
