"""Photographs to a generator: it learns to make in one pass what a transfer would optimise."""
