"""Refinement of references against particles: expectation, maximisation, schedule."""
