"""Wrappers of training, scoring and serving over processes and machines."""
