"""Cleaning: the vocabulary of `clean_rules`, for the declarations to import."""

from __future__ import annotations

from vitreous.project.clean_rules import Cleanup, Files, Iterations, Rule, Subfolders

__all__ = ["Cleanup", "Files", "Iterations", "Rule", "Subfolders"]
