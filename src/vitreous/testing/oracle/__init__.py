"""The expectation step in its plainest form: slow, small, float64, the witness of the fast engine.

Particle by particle, every hypothesis as ``|X - CTF P V|^2`` (refinement.md sections 2 to 6). It
shares with the engine what has tests of its own (Fourier transforms, CTF, slices, sampling grids)
and nothing of the fast expectation step. Boxes of 16 to 32 pixels and tens of particles are what it
is for.

What the specification leaves open is fixed here, each in the file that does it: pixels and shells
of mixed boxes (`pixels`), the image and its noise fill (`images`), the grid (`hypotheses`), priors
(`priors`), scores and what is significant (`scores`), the sums (`sums`).
"""

from vitreous.testing.oracle.expectation import expectation

__all__ = ["expectation"]
