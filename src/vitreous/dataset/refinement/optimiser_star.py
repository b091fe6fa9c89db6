"""``_optimiser.star``: what was asked for, how far it is, and which files say the rest."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field, replace
from typing import Any

from vitreous._version import __version__
from vitreous.dataset.refinement import flags
from vitreous.dataset.refinement.flag_table import NONE, Given, get, put
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.names import Names
from vitreous.engine.refinement.settings import Algorithm, Gradient, Settings
from vitreous.engine.refinement.state import Schedule
from vitreous.errors import FormatError
from vitreous.io import Star, Table
from vitreous.io.labels import all_labels
from vitreous.project.pipeline import Form

GENERAL = "optimiser_general"
_CLOSE = 2e-5  # what six digits may change

# Column -> field. What a file of RELION says goes before the command line in its second line.
_FIELDS = {
    "rlnNumberOfIterations": "settings.n_iterations",
    "rlnDoSplitRandomHalves": "settings.split_halves",
    "rlnJoinHalvesUntilThisResolution": "settings.join_halves_A",
    "rlnAdaptiveOversampleOrder": "settings.searching.oversampling",
    "rlnAdaptiveOversampleFraction": "settings.searching.adaptive_fraction",
    "rlnRandomSeed": "settings.seed",
    "rlnParticleDiameter": "settings.solvent.diameter_A",
    "rlnWidthMaskEdge": "settings.solvent.edge_px",
    "rlnDoZeroMask": "settings.solvent.zero_mask",
    "rlnDoSolventFlattening": "settings.solvent.flatten",
    "rlnDoSolventFscCorrection": "settings.solvent.correct_fsc",
    "rlnSolventMaskName": "settings.solvent.mask",
    "rlnSolventMask2Name": "settings.solvent.second_mask",
    "rlnTauSpectrumName": "settings.tau_spectrum",
    "rlnMaximumCoarseImageSize": "settings.searching.coarse_size_px",
    "rlnHighresLimitExpectation": "settings.searching.finest_A",
    "rlnLowresLimitExpectation": "settings.searching.coarsest_A",
    "rlnDoFastSubsetOptimisation": "settings.fast_subsets",
    "rlnDoExternalReconstruct": "settings.external_reconstruction",
    "rlnDoBlush": "settings.use_blush",
    "rlnGradEmIters": "settings.gradient.em_iterations",
    "rlnSgdInitialIterationsFraction": "settings.gradient.initial_fraction",
    "rlnSgdFinalIterationsFraction": "settings.gradient.final_fraction",
    "rlnSgdInitialSubsetSize": "settings.gradient.initial_subset",
    "rlnSgdFinalSubsetSize": "settings.gradient.final_subset",
    "rlnSgdClassInactivityThreshold": "settings.gradient.inactivity_threshold",
    "rlnSgdWriteEverySubset": "settings.gradient.write_every",
    "rlnSgdStepsize": "settings.gradient.step",
    "rlnSgdStepsizeScheme": "settings.gradient.step_scheme",
    "rlnTau2FudgeScheme": "settings.gradient.tau_fudge_scheme",
    "rlnMaximumSignificantPoses": "settings.searching.max_significant",
    "rlnDoAutoRefine": "settings.auto_refine",
    "rlnDoAutoSampling": "settings.auto_sampling",
    "rlnAutoLocalSearchesHealpixOrder": "settings.searching.auto_local_order",
    "rlnDoSkipAlign": "settings.searching.skip_align",
    "rlnDoSkipRotate": "settings.searching.skip_rotate",
    "rlnDoHelicalRefine": "settings.helix.is_helix",
    "rlnIgnoreHelicalSymmetry": "settings.helix.ignore_symmetry",
    "rlnHelicalTwistInitial": "settings.helix.twist_deg",
    "rlnHelicalRiseInitial": "settings.helix.rise_A",
    "rlnHelicalCentralProportion": "settings.helix.central_fraction",
    "rlnNrHelicalNStart": "settings.helix.n_starts",
    "rlnHelicalMaskTubeInnerDiameter": "settings.helix.inner_diameter_A",
    "rlnHelicalMaskTubeOuterDiameter": "settings.helix.outer_diameter_A",
    "rlnHelicalSymmetryLocalRefinement": "settings.helix.search",
    "rlnHelicalSigmaDistance": "settings.helix.sigma_distance",
    "rlnHelicalKeepTiltPriorFixed": "settings.helix.keep_tilt_prior",
    "rlnDoCorrectNorm": "settings.image.correct_norm",
    "rlnDoCorrectScale": "settings.image.correct_scale",
    "rlnDoCorrectCtf": "settings.image.correct_ctf",
    "rlnDoCenterClasses": "settings.centre_classes",
    "rlnDoIgnoreCtfUntilFirstPeak": "settings.image.intact_first_peak",
    "rlnCtfDataArePhaseFlipped": "settings.image.phase_flipped",
    "rlnDoOnlyFlipCtfPhases": "settings.image.only_flip_phases",
    "rlnFixSigmaNoiseEstimates": "settings.image.fix_sigma_noise",
    "rlnFixSigmaOffsetEstimates": "settings.image.fix_sigma_offset",
    "rlnMaxNumberOfPooledParticles": "machine.n_pooled",
    "rlnCurrentIteration": "schedule.iteration",
    "rlnIncrementImageSize": "schedule.size_increment",
    "rlnGradHasConverged": "schedule.gradient_converged",
    "rlnGradCurrentStepsize": "schedule.step",
    "rlnGradSubsetOrder": "schedule.subset_order",
    "rlnGradSuspendFinerSamplingIter": "schedule.suspend_finer_until",
    "rlnGradSuspendLocalSamplingIter": "schedule.suspend_local_until",
    "rlnSgdSubsetSize": "schedule.subset_size",
    "rlnNumberOfIterWithoutResolutionGain": "schedule.resolution_no_gain",
    "rlnBestResolutionThusFar": "schedule.best_resolution_per_A",
    "rlnNumberOfIterWithoutChangingAssignments": "schedule.changes_no_gain",
    "rlnOverallAccuracyRotations": "schedule.accuracy_angle_deg",
    "rlnOverallAccuracyTranslationsAngst": "schedule.accuracy_shift_A",
    "rlnChangesOptimalOrientations": "schedule.changes_angle_deg",
    "rlnChangesOptimalOffsets": "schedule.changes_shift_A",
    "rlnChangesOptimalClasses": "schedule.changes_class",
    "rlnSmallestChangesOrientations": "schedule.smallest_angle_deg",
    "rlnSmallestChangesOffsets": "schedule.smallest_shift_A",
    "rlnSmallestChangesClasses": "schedule.smallest_class",
    "rlnHasConverged": "schedule.converged",
    "rlnHasHighFscAtResolLimit": "schedule.high_fsc_at_limit",
    "rlnHasLargeSizeIncreaseIterationsAgo": "schedule.large_increase_ago",
}
# Columns with one value, where nothing of the kind exists here.
_ALWAYS: dict[str, object] = {
    "rlnBodyStarFile": NONE,
    "rlnDoMapEstimation": True,
    "rlnBlushNoSpectralTrailing": False,
    "rlnSgdMinimumResolution": 20.0,
    "rlnSgdInitialResolution": -1.0,
    "rlnSgdFinalResolution": -1.0,
    "rlnSgdSkipAnneal": False,
    "rlnLocalSymmetryFile": NONE,
    "rlnFourierMask": NONE,
    "rlnRefsAreCtfCorrected": True,
    "rlnOffsetRangeX": -1.0,
    "rlnOffsetRangeY": -1.0,
    "rlnOffsetRangeZ": -1.0,
}
# What RELION 3.1 wants besides: it goes on with expectation and maximisation where we have VDAM.
_ONLY_3_1: dict[str, object] = {
    "rlnDoStochasticGradientDescent": False,
    "rlnDoStochasticEM": False,
    "rlnSgdInitialIterations": 50,
    "rlnSgdFinalIterations": 50,
    "rlnSgdInBetweenIterations": 200,
    "rlnSgdSigma2FudgeInitial": 8.0,
    "rlnSgdSigma2FudgeHalflife": -1,
}
# Labels of other files that stand here too; they come last.
_ELSEWHERE = frozenset({"rlnBodyStarFile", "rlnCtfDataArePhaseFlipped"})
_WHOLE = frozenset({"rlnWidthMaskEdge", "rlnSmallestChangesClasses"})
_FILES = frozenset({"rlnSolventMaskName", "rlnSolventMask2Name", "rlnTauSpectrumName"})
_MOST_CLASSES = 9999999


@dataclass(frozen=True)
class Optimiser:
    """What an optimiser file says.

    Parameters
    ----------
    root, models, data, sampling
        Names of files, from the project folder.
    has_command
        Whether the second line told the command; it holds what no column says.
    """

    settings: Settings
    machine: Machine
    schedule: Schedule
    root: str
    models: tuple[str, ...]
    data: str
    sampling: str
    form: Form
    has_command: bool


def optimiser_star(
    names: Names, settings: Settings, schedule: Schedule, machine: Machine, form: Form
) -> Star:
    """Return the file of an iteration."""
    is_3_1 = form == "3.1"
    record = _Record(settings, machine, schedule)
    values: dict[str, object] = {"rlnOutputRootName": names.root}
    values["rlnModelStarFile"] = names.model(0)
    if names.n_models == 2:
        values["rlnModelStarFile2"] = names.model(1)
    values |= {"rlnExperimentalDataStarFile": names.data}
    values |= {"rlnOrientSamplingStarFile": names.sampling}
    values |= {label: _written(label, get(record, path)) for label, path in _FIELDS.items()}
    is_gradient = settings.algorithm is Algorithm.GRADIENT
    values |= _ALWAYS
    values |= {
        "rlnDoSplitRandomHalves": names.n_models == 2,
        "rlnDoGradientRefine": is_gradient,
        "rlnDoStochasticGradientDescent": is_gradient and not schedule.gradient_converged,
        "rlnSgdMuFactor": settings.gradient.momentum if is_gradient else 0.0,
        "rlnTau2FudgeArg": settings.tau_fudge,
    }
    if is_3_1:
        values |= _ONLY_3_1
        if not is_gradient:
            values = {label: value for label, value in values.items() if not _is_newer(label)}
    if names.iteration is None:
        values["rlnCurrentIteration"] = -1
    comments = (
        f"vitreous optimiser; version {__version__}",
        f"{flags.command_line(settings, machine)} --o {shlex.quote(names.root)}",
    )
    order = {name: row for row, name in enumerate(all_labels()) if name not in _ELSEWHERE}
    values = dict(sorted(values.items(), key=lambda item: order.get(item[0], len(order))))
    table = Table.from_columns(GENERAL, values, is_list=True)
    return Star([table], version=50001 if form == "5.0" else 30001, comments=comments)


def _is_newer(label: str) -> bool:
    """Tell whether RELION 3.1 would warn of a label that it does not know."""
    known = all_labels().get(label)
    return known is not None and known.versions == "4+"


@dataclass(frozen=True)
class _Record(Given):
    schedule: Schedule = field(default_factory=Schedule)


def _written(label: str, value: Any) -> object:  # noqa: ANN401 - of any column
    if label in _FILES:
        return value or NONE
    if label == "rlnSmallestChangesClasses":
        return min(round(value), _MOST_CLASSES)
    return round(value) if label in _WHOLE else value


def read_optimiser(star: Star, source: str) -> Optimiser:
    """Read an optimiser file of RELION 3.1 to 5, or ours.

    Parameters
    ----------
    star
        The file.
    source
        Its name, for messages.

    Raises
    ------
    FormatError
        It is no optimiser file, or of a kind of refinement that cannot go on here.
    """
    if GENERAL not in star:
        raise FormatError(
            f"{source}: there is no data_{GENERAL}, so this is not an optimiser file. Give the "
            "run_itNNN_optimiser.star of the iteration to go on from."
        )
    table = star[GENERAL]
    _require_known(table, source)
    command = _command(star)
    record = _Record(*(command or (flags.parse(["--random_seed", "0"]))))
    is_old = "rlnDoGradientRefine" not in table
    for label, path in _FIELDS.items():
        if label in table and not (is_old and path.startswith("settings.gradient.")):
            record = put(record, path, _read(label, table.value(label), get(record, path)))
    settings = _gradient(record.settings, table)
    if settings.auto_refine:
        settings = replace(settings, max_auto_iterations=settings.n_iterations)
    record = replace(record, settings=flags.concluded(settings))
    models = [str(table.value("rlnModelStarFile"))]
    if "rlnModelStarFile2" in table and record.settings.split_halves:
        models.append(str(table.value("rlnModelStarFile2")))
    return Optimiser(
        record.settings,
        record.machine,
        record.schedule,
        root=str(table.value("rlnOutputRootName")),
        models=tuple(models),
        data=str(table.value("rlnExperimentalDataStarFile")),
        sampling=str(table.value("rlnOrientSamplingStarFile")),
        form="5.0" if star.version == 50001 else "3.1",
        has_command=command is not None,
    )


def _require_known(table: Table, source: str) -> None:
    for label, what in (
        ("rlnBodyStarFile", "a multi-body refinement; a MultiBody job goes on from it"),
        ("rlnLocalSymmetryFile", "local symmetry, which is not supported"),
        ("rlnFourierMask", "a Fourier mask, which is not supported"),
    ):
        value = str(table.value(label, NONE))
        if value not in (NONE, ""):
            raise FormatError(f"{source}: {label} is {value}: this is {what}")
    for label in ("rlnModelStarFile", "rlnExperimentalDataStarFile", "rlnOrientSamplingStarFile"):
        if label not in table:
            raise FormatError(f"{source}: {label} is missing; the file is damaged")


def _command(star: Star) -> tuple[Settings, Machine] | None:
    """Return what the command in the second line asked for; None if it cannot be read."""
    if len(star.comments) < 2 or "--" not in star.comments[1]:
        return None
    try:
        words = shlex.split(star.comments[1])
    except ValueError:
        return None
    return None if "--continue" in words else flags.parse(words, permissive=True)


def _read(label: str, value: Any, known: Any) -> Any:  # noqa: ANN401 - of any column
    if label in _FILES:
        return "" if value == NONE else value
    if isinstance(known, bool):
        return bool(value)
    if isinstance(known, int):
        return int(value)
    if isinstance(known, float):
        number = float(value)
        # Rounded in the file: the command line knows better.
        return known if math.isclose(number, known, rel_tol=_CLOSE, abs_tol=1e-7) else number
    return value


def _gradient(settings: Settings, table: Table) -> Settings:
    """Read which algorithm runs; that of RELION 3.1 becomes ours with the same mini-batches."""
    is_old = "rlnDoGradientRefine" not in table
    label = "rlnDoStochasticGradientDescent" if is_old else "rlnDoGradientRefine"
    if not table.value(label, False):
        return replace(settings, algorithm=Algorithm.EM)
    gradient = replace(settings.gradient, momentum=float(table.value("rlnSgdMuFactor", 0.9)))
    if is_old:
        gradient = _old_gradient(gradient, table)
    tau = float(table.value("rlnTau2FudgeArg", settings.tau_fudge))
    settings = replace(settings, tau_fudge=tau if tau > 0 else settings.tau_fudge)
    return replace(settings, algorithm=Algorithm.GRADIENT, gradient=gradient)


def _old_gradient(gradient: Gradient, table: Table) -> Gradient:
    first = int(table.value("rlnSgdInitialIterations", 50))
    last = int(table.value("rlnSgdFinalIterations", 50))
    total = first + last + int(table.value("rlnSgdInBetweenIterations", 200))
    return replace(
        gradient,
        initial_fraction=first / total,
        final_fraction=last / total,
        initial_subset=int(table.value("rlnSgdInitialSubsetSize", -1)),
        final_subset=int(table.value("rlnSgdFinalSubsetSize", -1)),
        write_every=int(table.value("rlnSgdWriteEverySubset", 10)),
    )
