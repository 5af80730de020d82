"""Benchmarks of this machine: the plain way against every technique, switched on one after another, in one run."""
