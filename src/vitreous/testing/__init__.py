"""Phantoms, strategies and contract tests, shipped for authors of extensions."""
