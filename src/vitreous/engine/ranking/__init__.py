"""Judging 2D class averages: what is measured on them, and what a score is made of."""
