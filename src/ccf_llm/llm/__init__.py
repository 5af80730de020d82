"""The base language model: where it comes from, its adapter, its answer head."""
