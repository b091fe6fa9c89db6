"""Test kit for authors of extensions: known objects, random inputs, contracts, a microscope.

- `phantoms`: Gaussians and balls whose volumes, projections and transforms are formulas. They
  share no code with `engine.projection`, so that a test against them cannot repeat its errors.
- `strategies`: hypothesis strategies for rotations, shifts, boxes, point groups, optics, defoci.
- `contracts`: ``JobContract``, a class of tests that every job type must pass.
- `kernel_contract`: ``KernelContract``, the same for a version of the slice kernels: values,
  adjoint, gradient, precision, empty batches.
- `kernels`: inputs for such tests.
- `known_poses`: sums of images whose poses are known, to hold maximisations to.
- `oracle`: the expectation step of refinements in its plainest form, to hold fast versions to, and
  small cases with known truth.
- `simulate`: the whole experiment from atoms to files, with the truth beside the data.
- `truth`: how far maps, poses and classes are from what was simulated.

Import the modules by name; this package imports none of them. Only `strategies` needs
``hypothesis`` and only `kernel_contract` needs ``pytest``, neither of which comes with vitreous.

A projector is right if it agrees with line integrals that nobody had to compute numerically::

    >>> import torch
    >>> from vitreous.engine import geometry
    >>> from vitreous.testing import phantoms
    >>> thing = phantoms.cluster(seed=1)  # no symmetry: a wrong hand or a swapped axis shows
    >>> volume = thing.volume(32)  # z y x
    >>> poses = geometry.matrix_from_euler(torch.tensor([[0.0, 0.0, 0.0]]).double())
    >>> images = thing.projections(poses, 32)  # n y x
    >>> torch.allclose(images[0], volume.sum(0), atol=1e-6)  # seen along z
    True

A job type of your own keeps to the rules of all others if this class passes::

    class TestMyJob(JobContract):
        @pytest.fixture
        def job_type(self) -> JobType:
            return MyJob.job_type
"""
