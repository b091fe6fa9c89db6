"""``_model.star``: references, spectra, scales and priors of one half or of all particles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.refinement.names import Names
from vitreous.dataset.refinement.references import (
    read_arrays,
    read_moments,
    read_references,
    require_files,
)
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, Moments, Sampling
from vitreous.errors import FormatError
from vitreous.io import Star, Table

GENERAL = "model_general"
CLASSES = "model_classes"
GROUPS = "model_groups"
_UNKNOWN_A = 999.0

# Spectra of a class: field of the model, label. The last is known once accuracies were measured.
SPECTRA = (
    ("ssnr", "rlnSsnrMap"),
    ("fsc", "rlnGoldStandardFsc"),
    ("completeness", "rlnFourierCompleteness"),
    ("sigma2_map", "rlnReferenceSigma2"),
    ("tau2", "rlnReferenceTau2"),
    ("orientability", "rlnSpectralOrientabilityContribution"),
)


@dataclass(frozen=True)
class Occasion:
    """What a model file says besides the model.

    Parameters
    ----------
    names, half
        Of the iteration, and which model it is, from 0.
    share_of_optics
        ``m g``, share of each optics group in each scale group.
    """

    names: Names
    half: int
    settings: Settings
    sampling: Sampling
    share_of_optics: NDArray[np.float64]
    is_3_1: bool


def model_tables(model: Model, occasion: Occasion) -> list[Table]:
    """Return the tables of the file.

    In the 3.1 form noise stands per scale group, as RELION 3.1 wants it, and again per optics
    group, which that program passes over.
    """
    tables = [_general(model, occasion), _classes(model, occasion)]
    tables += [_class(model, class_) for class_ in range(model.n_classes)]
    tables.append(_groups(model))
    optics = model.sigma2_noise.to(torch.float64)
    if occasion.is_3_1:
        shares = torch.from_numpy(occasion.share_of_optics)
        tables += _noise("model_group", shares @ optics, model)
    tables += _noise("model_optics_group", optics, model)
    if model.ndim == 3:
        tables += [
            Table.from_columns(
                f"model_pdf_orient_class_{class_ + 1}",
                {"rlnOrientationDistribution": _numbers(weights)},
            )
            for class_, weights in enumerate(model.direction_weight)
        ]
    return tables


def _general(model: Model, occasion: Occasion) -> Table:
    settings, sampling = occasion.settings, occasion.sampling
    helix = settings.helix
    values: dict[str, object] = {
        "rlnReferenceDimensionality": model.ndim,
        "rlnDataDimensionality": 2,
        "rlnOriginalImageSize": model.box_px,
        "rlnCurrentResolution": _resolution_A(model.resolution_per_A),
        "rlnCurrentImageSize": model.current_size_px,
        "rlnPaddingFactor": settings.padding,
        "rlnIsHelix": helix.is_helix,
    }
    if helix.is_helix:
        values |= {
            "rlnNrHelicalAsymUnits": helix.n_units,
            "rlnHelicalTwistMin": helix.twist_range_deg[0],
            "rlnHelicalTwistMax": helix.twist_range_deg[1],
            "rlnHelicalTwistInitialStep": helix.twist_range_deg[2],
            "rlnHelicalRiseMin": helix.rise_range_A[0],
            "rlnHelicalRiseMax": helix.rise_range_A[1],
            "rlnHelicalRiseInitialStep": helix.rise_range_A[2],
        }
    values |= {
        "rlnFourierSpaceInterpolator": 1,
        "rlnMinRadiusNnInterpolation": 10,
        "rlnPixelSize": model.pixel_size_A,
        "rlnNrClasses": model.n_classes,
        "rlnNrBodies": 1,
        "rlnNrGroups": len(model.group_names),
    }
    if not occasion.is_3_1:
        values["rlnNrOpticsGroups"] = len(model.sigma2_noise)
    values |= {
        "rlnTau2FudgeFactor": model.tau_fudge,
        "rlnNormCorrectionAverage": model.mean_norm,
        "rlnSigmaOffsetsAngst": model.sigma_offset_A,
        "rlnOrientationalPriorMode": int(sampling.is_local),
        "rlnSigmaPriorRotAngle": sampling.sigma_rot_deg,
        "rlnSigmaPriorTiltAngle": sampling.sigma_tilt_deg,
        "rlnSigmaPriorPsiAngle": sampling.sigma_psi_deg,
        "rlnLogLikelihood": model.log_likelihood,
        "rlnAveragePmax": model.mean_pmax,
    }
    return Table.from_columns(GENERAL, values, is_list=True)


def _classes(model: Model, occasion: Occasion) -> Table:
    names, half, numbers = occasion.names, occasion.half, range(model.n_classes)
    columns: dict[str, object] = {
        "rlnReferenceImage": [names.image(half, class_) for class_ in numbers]
    }
    if model.moments:
        columns["rlnGradMoment1"] = [names.image(half, class_, "1moment") for class_ in numbers]
        columns["rlnGradMoment2"] = [names.image(half, class_, "2moment") for class_ in numbers]
    columns |= {
        "rlnClassDistribution": _numbers(model.class_weight),
        "rlnAccuracyRotations": _numbers(model.class_accuracy_deg),
        "rlnAccuracyTranslationsAngst": _numbers(model.class_accuracy_A),
        "rlnEstimatedResolution": _numbers(model.class_resolution_A),
        "rlnOverallFourierCompleteness": _numbers(model.class_completeness),
    }
    if model.ndim == 2:
        columns["rlnClassPriorOffsetX"] = _numbers(model.class_offset_A[:, 0])
        columns["rlnClassPriorOffsetY"] = _numbers(model.class_offset_A[:, 1])
    if model.helical_rise_A is not None and model.helical_twist_deg is not None:
        columns["rlnHelicalRise"] = _numbers(model.helical_rise_A)
        columns["rlnHelicalTwist"] = _numbers(model.helical_twist_deg)
    return Table.from_columns(CLASSES, columns)


def _class(model: Model, class_: int) -> Table:
    columns = _shells(model.tau2.shape[1], model, with_A=True)
    known = SPECTRA if bool(model.orientability.any()) else SPECTRA[:-1]
    columns |= {label: _numbers(getattr(model, field)[class_]) for field, label in known}
    return Table.from_columns(f"model_class_{class_ + 1}", columns)


def _groups(model: Model) -> Table:
    columns = {
        "rlnGroupNumber": np.arange(1, len(model.group_names) + 1),
        "rlnGroupName": list(model.group_names),
        "rlnGroupNrParticles": np.array(model.group_counts, np.int64),
        "rlnGroupScaleCorrection": _numbers(model.group_scale),
    }
    return Table.from_columns(GROUPS, columns)


def _noise(name: str, spectra: Tensor, model: Model) -> list[Table]:
    shells = _shells(spectra.shape[1], model)
    return [
        Table.from_columns(f"{name}_{row + 1}", shells | {"rlnSigma2Noise": _numbers(spectrum)})
        for row, spectrum in enumerate(spectra)
    ]


def _shells(count: int, model: Model, *, with_A: bool = False) -> dict[str, object]:
    index = np.arange(count)
    per_A = index / (model.box_px * model.pixel_size_A)
    columns: dict[str, object] = {"rlnSpectralIndex": index, "rlnResolution": per_A}
    if with_A:
        columns["rlnAngstromResolution"] = np.array(
            [1 / value if value else _UNKNOWN_A for value in per_A]
        )
    return columns


def _resolution_A(per_A: float) -> float:
    return 1 / per_A if per_A > 0 else _UNKNOWN_A


def _numbers(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.detach().to("cpu", torch.float64).numpy()
    return array


def files_of(star: Star) -> list[str]:
    """Return the maps and moments that a model file names."""
    classes = star[CLASSES]
    labels = ("rlnReferenceImage", "rlnGradMoment1", "rlnGradMoment2")
    return [str(name) for label in labels for name in classes.get(label, [])]


def model_from(
    star: Star, folder: Path, source: str, optics_of_group: NDArray[np.float64], notices: list[str]
) -> Model:
    """Read a model and its maps.

    Parameters
    ----------
    star
        The model file of RELION 3.1 to 5, or of ours.
    folder
        What the names of maps are relative to.
    source
        Name of the file, for messages.
    optics_of_group
        ``g m``: share of each scale group in each optics group; noise of RELION 3.1, which is
        kept by scale group, is averaged with it.
    notices
        What could not be taken over is added here.
    """
    general, classes = star[GENERAL], star[CLASSES]
    if int(general.value("rlnDataDimensionality", 2)) != 2:
        raise FormatError(f"{source}: subtomograms; only images (rlnDataDimensionality 2) are read")
    if int(general.value("rlnNrBodies", 1)) > 1:
        raise FormatError(f"{source}: a multi-body refinement; a MultiBody job goes on from it")
    if int(general.value("rlnFourierSpaceInterpolator", 1)) == 0:
        notices.append(f"{source}: slices were of nearest neighbours; from here they are linear")
    images = [str(name) for name in classes["rlnReferenceImage"]]
    require_files(images, folder, source)
    ndim = int(general.value("rlnReferenceDimensionality"))
    references = read_references(images, folder, ndim)
    n = len(images)
    tables = [star[f"model_class_{class_ + 1}"] for class_ in range(n)]
    groups = star[GROUPS]
    resolution_A = float(general.value("rlnCurrentResolution", np.inf))
    noise = _read_noise(star, source, optics_of_group)
    spectra = {field: _spectra(tables, label) for field, label in SPECTRA}
    _require_shells([noise, *spectra.values()], references.shape[-1], source)
    return Model(
        references=references,
        pixel_size_A=float(general.value("rlnPixelSize")),
        current_size_px=int(general.value("rlnCurrentImageSize")),
        resolution_per_A=0.0 if resolution_A >= _UNKNOWN_A else 1 / resolution_A,
        **spectra,
        class_weight=_column(classes, "rlnClassDistribution", n),
        class_offset_A=torch.stack(
            [_column(classes, f"rlnClassPriorOffset{axis}", n) for axis in "XY"], 1
        ),
        direction_weight=_directions(star, classes, ndim),
        class_accuracy_deg=_column(classes, "rlnAccuracyRotations", n),
        class_accuracy_A=_column(classes, "rlnAccuracyTranslationsAngst", n),
        class_resolution_A=_column(classes, "rlnEstimatedResolution", n, _UNKNOWN_A),
        class_completeness=_column(classes, "rlnOverallFourierCompleteness", n),
        sigma2_noise=noise,
        group_scale=_column(groups, "rlnGroupScaleCorrection", len(groups), 1.0),
        group_names=tuple(str(name) for name in groups["rlnGroupName"]),
        group_counts=tuple(int(count) for count in groups["rlnGroupNrParticles"]),
        mean_norm=float(general.value("rlnNormCorrectionAverage", 1.0)),
        sigma_offset_A=float(general.value("rlnSigmaOffsetsAngst", 10.0)),
        log_likelihood=float(general.value("rlnLogLikelihood", 0.0)),
        mean_pmax=float(general.value("rlnAveragePmax", 0.0)),
        tau_fudge=float(general.value("rlnTau2FudgeFactor", 1.0)),
        helical_twist_deg=_helical(classes, "rlnHelicalTwist"),
        helical_rise_A=_helical(classes, "rlnHelicalRise"),
        moments=_moments(classes, folder, source, notices),
    )


def _column(table: Table, label: str, n: int, default: float = 0.0) -> Tensor:
    values = np.array(table.get(label, np.full(n, default)), np.float64)
    return torch.from_numpy(np.where(np.isfinite(values), values, default))


def _helical(classes: Table, label: str) -> Tensor | None:
    return _column(classes, label, len(classes)) if label in classes else None


def _spectra(tables: Sequence[Table], label: str) -> Tensor:
    if len({len(table) for table in tables}) > 1:
        names = ", ".join(f"data_{table.name}" for table in tables)
        raise FormatError(f"{names} differ in length; the file is damaged")
    return torch.stack([_column(table, label, len(table)) for table in tables])


def _require_shells(spectra: Sequence[Tensor], box_px: int, source: str) -> None:
    lengths = {spectrum.shape[1] for spectrum in spectra}
    if lengths != {box_px // 2 + 1}:
        raise FormatError(
            f"{source}: spectra have {', '.join(map(str, sorted(lengths)))} shells, references of "
            f"{box_px} pixels have {box_px // 2 + 1}; the file does not belong to these maps"
        )


def _directions(star: Star, classes: Table, ndim: int) -> Tensor:
    tables: list[Any] = [
        star.get(f"model_pdf_orient_class_{row + 1}") for row in range(len(classes))
    ]
    if ndim == 2 or any(table is None for table in tables):
        return _column(classes, "rlnClassDistribution", len(classes))[:, None]
    return _spectra(tables, "rlnOrientationDistribution")


def _read_noise(star: Star, source: str, optics_of_group: NDArray[np.float64]) -> Tensor:
    n_optics, n_groups = optics_of_group.shape
    if "model_optics_group_1" in star:
        names = [f"model_optics_group_{row + 1}" for row in range(n_optics)]
        return _spectra([star[name] for name in names], "rlnSigma2Noise")
    if "model_group_1" not in star:
        raise FormatError(f"{source}: there are no noise spectra (data_model_optics_group_1)")
    groups = [star[f"model_group_{row + 1}"] for row in range(n_groups)]
    return torch.from_numpy(optics_of_group) @ _spectra(groups, "rlnSigma2Noise")


def _moments(classes: Table, folder: Path, source: str, notices: list[str]) -> tuple[Moments, ...]:
    if "rlnGradMoment1" not in classes or "rlnGradMoment2" not in classes:
        return ()
    first = [str(name) for name in classes["rlnGradMoment1"]]
    second = [str(name) for name in classes["rlnGradMoment2"]]
    try:
        require_files([*first, *second], folder, source)
        read_arrays(first[:1], folder)
        return read_moments(first, second, folder)
    except FormatError as error:
        notices.append(f"Moments of the gradient begin anew: {error}")
    except FileNotFoundError as error:
        notices.append(f"Moments of the gradient begin anew: {error}")
    return ()
