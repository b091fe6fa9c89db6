"""The schedule of VDAM, gradient descent by mini-batches (refinement.md section 11).

Kimanius et al., Biochem. J. 478, 4169 (2021).
"""

from __future__ import annotations

import re
from enum import Enum

from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.engine.refinement.state import Schedule
from vitreous.errors import InputError

REVISITED_EVERY = 10  # iterations between measurements of accuracies and changes of sampling
PLAIN = "plain"
INFLATED_STEP = 0.9
REFINE_STEP = 0.9

# First mini-batch: share of the particles and most; last: fewest, share, most.
_FIRST = {"2D": (0.005, 10_000), "initial": (0.005, 5_000), "3D": (0.1, 100_000)}
_LAST = {"2D": (1000, 0.05, 100_000), "initial": (1000, 0.1, 50_000), "3D": (1000, 0.1, 100_000)}
_FEWEST = 200
_STEP = {"2D": 0.3, "initial": 0.5, "3D": 0.3}


class Phase(Enum):
    """Where a gradient run stands."""

    INITIAL = "initial"
    BETWEEN = "between"
    FINAL = "final"
    EM = "expectation-maximisation"


def is_gradient(schedule: Schedule, settings: Settings) -> bool:
    """Tell whether the iteration `schedule.iteration` takes a gradient step."""
    return phase(schedule.iteration, schedule, settings) is not Phase.EM


def phase(iteration: int, schedule: Schedule, settings: Settings) -> Phase:
    """Return the phase of an iteration, from 1."""
    if settings.algorithm is not Algorithm.GRADIENT:
        return Phase.EM
    if settings.auto_refine:
        return Phase.EM if schedule.gradient_converged or schedule.converged else Phase.BETWEEN
    if iteration > settings.n_iterations - settings.gradient.em_iterations:
        return Phase.EM
    first, between = phase_lengths(settings)
    if iteration <= first:
        return Phase.INITIAL
    return Phase.BETWEEN if iteration <= first + between else Phase.FINAL


def phase_lengths(settings: Settings) -> tuple[int, int]:
    """Return how many iterations the first phase and the one between take."""
    n = settings.n_iterations - settings.gradient.em_iterations
    first = int(settings.gradient.initial_fraction * n)
    last = int(settings.gradient.final_fraction * n)
    return first, max(0, n - first - last)


def subset_size(schedule: Schedule, settings: Settings, n_particles: int) -> int:
    """Return the size of the mini-batch of `schedule.iteration`; -1 for all particles."""
    iteration = schedule.iteration
    where = phase(iteration, schedule, settings)
    if where is Phase.EM:
        return -1
    if settings.auto_refine:
        size = _first_size(settings, n_particles) * 2**schedule.subset_order
        return size if size < n_particles else -1
    if iteration == settings.n_iterations and settings.n_classes > 1:
        return -1
    first, last = subset_sizes(settings, n_particles)
    begin, between = phase_lengths(settings)
    along = min(max((iteration - begin) / max(between, 1), 0.0), 1.0)
    size = first + round(along * (last - first))
    return size if size < n_particles else -1


def subset_sizes(settings: Settings, n_particles: int) -> tuple[int, int]:
    """Return the sizes of the first and the last mini-batches."""
    last = settings.gradient.final_subset
    if last <= 0:
        fewest, share, most = _LAST[_kind(settings)]
        last = max(fewest, min(int(share * n_particles), most))
    return _first_size(settings, n_particles), last


def step_size(schedule: Schedule, settings: Settings) -> float:
    """Return the step of the gradient in `schedule.iteration`; 0 where there is none."""
    if phase(schedule.iteration, schedule, settings) is Phase.EM:
        return 0.0
    given = settings.gradient.step
    if settings.auto_refine:
        return given if given > 0 else REFINE_STEP
    base = given if given > 0 else _STEP[_kind(settings)]
    factor = _factor(settings.gradient.step_scheme, settings, max(INFLATED_STEP / base, 1.0))
    first, between = phase_lengths(settings)
    high = sigmoid(schedule.iteration, first, between / 2)
    return base * (1 + (factor - 1) * high)


def tau_fudge(schedule: Schedule, settings: Settings) -> float:
    """Return the regularisation parameter T of `schedule.iteration`."""
    wanted = settings.tau_fudge
    if settings.algorithm is not Algorithm.GRADIENT or settings.auto_refine:
        return wanted
    factor = _factor(settings.gradient.tau_fudge_scheme, settings, max(wanted, 1.0))
    first, between = phase_lengths(settings)
    early = sigmoid(schedule.iteration, first, between / 4)
    return wanted * (1 - early * (1 - 1 / factor))


def sigmoid(x: float, begin: float, width: float) -> float:
    """Return what falls from 1 to 0 between `begin` and `begin + width`."""
    if width <= 0:
        return 1.0 if x <= begin else 0.0
    power = (x - begin - width / 2) / (width / 4)
    return float(1.0 / (10.0 ** min(power, 300.0) + 1.0))


def writes(schedule: Schedule, settings: Settings) -> bool:
    """Tell whether the files of an iteration are written."""
    iteration = schedule.iteration
    if not is_gradient(schedule, settings):
        return True
    every = max(settings.gradient.write_every, 1)
    return iteration % every == 0 or iteration == settings.n_iterations


def is_revisited(schedule: Schedule, settings: Settings) -> bool:
    """Tell whether accuracies are measured and sampling is looked at in this iteration."""
    if not is_gradient(schedule, settings):
        return True
    never = schedule.accuracy_angle_deg >= Schedule().accuracy_angle_deg
    return never or schedule.iteration % REVISITED_EVERY == 0


def _first_size(settings: Settings, n_particles: int) -> int:
    if settings.gradient.initial_subset > 0:
        return settings.gradient.initial_subset
    share, most = _FIRST[_kind(settings)]
    return max(_FEWEST, min(int(share * n_particles), most))


def _kind(settings: Settings) -> str:
    if settings.ndim == 2:
        return "2D"
    return "initial" if settings.from_nothing else "3D"


def _factor(scheme: str, settings: Settings, default: float) -> float:
    """Return by how much a scheme begins away from where it ends; 1 for none."""
    if scheme == PLAIN or (not scheme and _kind(settings) == "3D"):
        return 1.0
    if not scheme:
        return default
    found = re.fullmatch(r"([0-9.eE+-]+)-step", scheme)
    try:
        factor = float(found[1]) if found else 0.0
    except ValueError:
        factor = 0.0
    if factor <= 0:
        message = f"The scheme {scheme!r} of the gradient is not known"
        raise InputError(f"{message}: wanted 'plain' or a factor as in '3-step'.")
    return factor
