"""What can be known to fail before the first iteration: every problem at once, with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement.data_star import HALF, assignments_of
from vitreous.dataset.refinement.engine_data import MTF, Stacks, read_mtf
from vitreous.engine import symmetry
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import FormatError, InputError
from vitreous.io import MrcHeader, parse_ref, read_header, read_mrc, read_star

_SAME_A = 1e-3
_POSES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_LENS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
_TUBE = ("rlnHelicalTubeID", "rlnAngleTiltPrior", "rlnAnglePsiPrior", "rlnHelicalTrackLengthAngst")
_SHOWN = 3
_READERS = 8


def check_start(settings: Settings, particles: Particles, *, folder: Path | str = ".") -> None:
    """Refuse a refinement that cannot work.

    Parameters
    ----------
    settings
        What is asked for.
    particles
        As read; their first optics group decides box and pixel size of the references.
    folder
        The project folder.

    Raises
    ------
    InputError
        Something cannot work; the message has one line for each problem.
    """
    _refuse(_problems(settings, particles, Path(folder)))


def check_continued(settings: Settings, particles: Particles, *, folder: Path | str = ".") -> None:
    """Refuse to go on with a refinement whose images or masks are gone or do not fit.

    Parameters
    ----------
    settings
        As changed by the user.
    particles, folder
        As for `check_start`.

    Raises
    ------
    InputError
        Something cannot work; the message has one line for each problem.
    """
    _refuse(_problems_of_both(settings, particles, Path(folder)))


def _refuse(problems: Iterator[str]) -> None:
    told = list(problems)
    if told:
        raise InputError("\n".join(told))


def _problems(settings: Settings, particles: Particles, folder: Path) -> Iterator[str]:
    yield from _of_options(settings)
    yield from _of_halves(settings, particles)
    yield from _of_columns(settings, particles)
    yield from _of_references(settings, particles, folder)
    if settings.tau_spectrum and not (folder / settings.tau_spectrum).is_file():
        yield f"{settings.tau_spectrum}: there is no such file; --tau wants a model file"
    yield from _problems_of_both(settings, particles, folder)


def _problems_of_both(settings: Settings, particles: Particles, folder: Path) -> Iterator[str]:
    yield from _of_images(particles)
    yield from _of_mtf(particles)
    solvent = settings.solvent
    for name, path in (
        ("solvent mask", solvent.mask),
        ("second solvent mask", solvent.second_mask),
        ("low-pass mask", solvent.low_pass_mask),
    ):
        if path:
            yield from _of_mask(name, folder, path, settings, particles)


def _of_options(settings: Settings) -> Iterator[str]:
    solvent, searching = settings.solvent, settings.searching
    if solvent.diameter_A <= 0:
        yield (
            "The mask diameter is not given. Give 10 to 20 % more than the longest axis of the "
            "particle, in ångström."
        )
    for name, group in (
        ("Symmetry", searching.point_group),
        ("Relax symmetry", searching.relax_point_group),
    ):
        yield from _of_symmetry(name, group)
    if searching.relax_point_group and not searching.point_group.upper().startswith("C"):
        yield (
            f"Relax symmetry works within a cyclic group, not {searching.point_group}. Refine in "
            "C1 or Cn, and relax towards the whole group."
        )
    if settings.auto_refine and settings.n_classes > 1:
        yield f"Auto-refinement has one class, not {settings.n_classes}; sort with Class3D first."
    if solvent.correct_fsc and not solvent.mask:
        yield "Solvent-flattened FSCs need a mask. Give one, or switch them off."
    if settings.algorithm is Algorithm.GRADIENT and searching.skip_align and settings.ndim == 3:
        yield "The gradient algorithm needs alignment. Align, or use expectation-maximisation."


def _of_symmetry(name: str, group: str) -> Iterator[str]:
    if group:
        try:
            symmetry.parse(group)
        except InputError as error:
            yield f"{name}: {error}"


def _of_halves(settings: Settings, particles: Particles) -> Iterator[str]:
    if not settings.split_halves:
        return
    table = particles.table
    if HALF in table:
        values = np.asarray(table[HALF])
        bad = np.flatnonzero(~np.isin(values, (1, 2)))
        if bad.size:
            yield (
                f"data_particles row {bad[0] + 1} ({bad.size:,} rows in all): {HALF} is "
                f"{values[bad[0]]}; halves are 1 and 2. Correct the column, or remove it to have "
                "halves drawn."
            )
            return
    half = assignments_of(particles, split_halves=True).half
    for number, count in enumerate(np.bincount(half, minlength=2)[:2].tolist(), 1):
        if count == 0:
            yield (
                f"No particles are left in half {number}: {HALF} puts all {len(particles):,} into "
                "the other. Remove that column to have halves drawn anew, or use the particles "
                "before they were selected."
            )


def _of_columns(settings: Settings, particles: Particles) -> Iterator[str]:
    table, optics = particles.table, particles.optics_table
    if settings.image.correct_ctf:
        lost = [name for name in _DEFOCUS if name not in table]
        lost += [name for name in _LENS if name not in optics and name not in table]
        if lost:
            yield (
                f"CTF correction is asked for, but the particles have no {', '.join(lost)}. "
                "Extract them from micrographs with a CTF estimate, or switch the correction off."
            )
    searching = settings.searching
    sigmas = (searching.sigma_rot_deg, searching.sigma_tilt_deg, searching.sigma_psi_deg)
    is_local = max(sigmas) > 0 and not settings.helix.is_helix
    if searching.skip_align or searching.skip_rotate or is_local:
        why = "Local searches start" if is_local else "Without alignment classification starts"
        wanted = [name for name in _POSES if settings.ndim == 3 or name == "rlnAnglePsi"]
        if settings.ndim == 2 and settings.helix.is_helix:
            wanted = []
        lost = [name for name in wanted if name not in table and f"{name}Prior" not in table]
        if lost:
            yield (
                f"{why} from known poses, but the particles have no {', '.join(lost)}. Give "
                "particles of a refinement, or search all orientations."
            )
    if settings.helix.is_helix and settings.ndim == 3:
        lost = [name for name in _TUBE if name not in table]
        if lost:
            yield (
                f"Helical reconstruction needs {', '.join(lost)}, which the particles lack. "
                "Extract them as helical segments."
            )


def _of_images(particles: Particles) -> Iterator[str]:
    try:
        stacks = Stacks(particles)
    except FormatError as error:
        yield str(error)
        return
    paths = stacks.paths
    lost = [path for path in paths if not Path(path.partition(":")[0]).is_file()]
    if lost:
        more = f" and {len(lost) - _SHOWN:,} more" if len(lost) > _SHOWN else ""
        yield (
            f"{', '.join(lost[:_SHOWN])}{more}: there is no such file ({len(lost):,} of "
            f"{len(paths):,} stacks). Start from the folder that image names are relative to, or "
            "extract the particles again."
        )
        return
    with ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(_header, paths))
    bad = [text for text in found if isinstance(text, str)]
    yield from _few(bad, "stacks cannot be read")
    if not bad:
        headers = [header for header in found if not isinstance(header, str)]
        yield from _few(list(_of_sizes(stacks, particles, headers)), "stacks do not fit")


def _header(path: str) -> MrcHeader | str:
    try:
        return read_header(path)
    except InputError as error:
        return str(error)


def _of_sizes(stacks: Stacks, particles: Particles, headers: list[MrcHeader]) -> Iterator[str]:
    last = np.full(len(headers), -1)
    np.maximum.at(last, stacks.file, stacks.place)
    for path, header, place in zip(stacks.paths, headers, last.tolist(), strict=True):
        if place >= header.shape[0]:
            yield (
                f"{path}: image {place + 1} is wanted, but the stack has {header.shape[0]}. It was "
                "changed since; extract the particles again."
            )
    pairs = np.unique(np.stack([stacks.file, particles.group], 1), axis=0)
    for file, group in pairs.tolist():
        shape, box = headers[file].shape[1:], particles.box_px(group)
        if shape != (box, box):
            yield (
                f"{stacks.paths[file]}: the images are {shape[1]} x {shape[0]} pixels, but optics "
                f"group {group + 1} says rlnImageSize {box}. Give the groups their true sizes."
            )


def _few(problems: list[str], what: str) -> Iterator[str]:
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        yield f"{len(problems) - _SHOWN:,} more {what}."


def _of_mtf(particles: Particles) -> Iterator[str]:
    for name in dict.fromkeys(str(name) for name in particles.optics_table.get(MTF, [])):
        if name:
            try:
                read_mtf(particles.folder / name)
            except InputError as error:
                yield str(error)


def _of_references(settings: Settings, particles: Particles, folder: Path) -> Iterator[str]:
    if settings.from_nothing:
        return
    try:
        images = reference_images(settings.references, folder)
    except InputError as error:
        yield str(error)
        return
    if len(images) not in (1, settings.n_classes):
        yield (
            f"{settings.references}: there are {len(images)} references for {settings.n_classes} "
            "classes. Give one, or one for each class."
        )
    for image in images:
        try:
            yield from _of_reference(image, settings, particles, folder)
        except InputError as error:
            yield str(error)


def reference_images(references: str, folder: Path) -> list[str]:
    """Return the maps or averages that a reference stands for: a file, a stack, a STAR file."""
    if not references.endswith(".star"):
        path = parse_ref(references).path
        if path.endswith(".mrcs") and "@" not in references:
            n = read_header(folder / path).shape[0]
            return [f"{row + 1:06d}@{path}" for row in range(n)]
        return [references]
    for table in read_star(folder / references).tables:
        if "rlnReferenceImage" in table:
            return [str(name) for name in table["rlnReferenceImage"]]
    raise FormatError(
        f"{references}: no table has rlnReferenceImage, so it lists no references. Give a model "
        "file or class averages of a Select job."
    )


def _of_reference(
    image: str, settings: Settings, particles: Particles, folder: Path
) -> Iterator[str]:
    ref = parse_ref(image)
    data, header = read_mrc(folder / ref.path)
    values = data if ref.index0 is None else data[ref.index0 : ref.index0 + 1]
    yield from _of_grid(
        image,
        values.shape,
        header.pixel_size_A,
        settings,
        particles,
        is_average=ref.index0 is not None,
    )
    if not np.isfinite(values.astype(np.float32)).all():
        yield f"{image}: the reference holds values that are not numbers. Make it again."
    elif values.size and values.min() == values.max():
        yield (
            f"{image}: the reference is empty, all its values are {float(values.flat[0]):g}. Give "
            "a map with density in it."
        )


def _of_grid(
    image: str,
    shape: tuple[int, ...],
    pixel_A: float,
    settings: Settings,
    particles: Particles,
    *,
    is_average: bool,
) -> Iterator[str]:
    ndim = 2 if is_average or shape[0] == 1 else 3
    if ndim != settings.ndim:
        have = ("an average", "a map")[ndim - 2]
        yield f"{image}: this is {have}; {('averages', 'maps')[settings.ndim - 2]} are wanted."
        return
    sides = shape[-ndim:]
    if len(set(sides)) > 1 or sides[0] % 2:
        text = " x ".join(map(str, sides[::-1]))
        yield f"{image}: {text} pixels; all sides must be equal and even. Pad or cut it."
        return
    box, wanted_A = particles.box_px(0), particles.pixel_size_A(0)
    pixel_A = settings.reference_pixel_size_A if settings.reference_pixel_size_A > 0 else pixel_A
    if settings.trust_reference_size:
        if pixel_A <= 0:
            yield f"{image}: the header tells no pixel size; give it with --ref_angpix."
        return
    if sides[0] != box:
        yield (
            f"{image}: the box is {sides[0]} pixels, that of the particles {box}. Allow the "
            "reference to be resized, or give one of that box."
        )
    if abs(pixel_A - wanted_A) > _SAME_A:
        yield (
            f"{image}: the pixel size is {pixel_A:g} Å, that of the particles {wanted_A:g} Å. "
            "Allow the reference to be resized, or give the true size with --ref_angpix."
        )


def _of_mask(
    name: str, folder: Path, path: str, settings: Settings, particles: Particles
) -> Iterator[str]:
    try:
        data, header = read_mrc(folder / path)
    except InputError as error:
        yield str(error)
        return
    sides = data.shape if settings.ndim == 3 else data.shape[-2:]
    box, pixel_A = particles.box_px(0), particles.pixel_size_A(0)
    if set(sides) != {box} and not (settings.trust_reference_size and len(set(sides)) == 1):
        text = " x ".join(map(str, data.shape[::-1]))
        yield (
            f"{path}: the {name} has {text} pixels, the box is {box}. Make one with MaskCreate "
            "from a map of these particles."
        )
    known = header.pixel_size_A > 0
    if known and abs(header.pixel_size_A - pixel_A) > _SAME_A and not settings.trust_reference_size:
        yield (
            f"{path}: the {name} has pixels of {header.pixel_size_A:g} Å, the particles of "
            f"{pixel_A:g} Å. Make one with MaskCreate from a map of these particles."
        )
    values = data.astype(np.float32)
    if not np.isfinite(values).all():
        yield f"{path}: the {name} holds values that are not numbers. Make it again."
    elif values.min() < -_SAME_A or values.max() > 1 + _SAME_A:
        yield (
            f"{path}: the {name} goes from {values.min():.3g} to {values.max():.3g}; 0 to 1 is "
            "wanted. Make a mask with MaskCreate."
        )
    elif values.max() == 0:
        yield f"{path}: the {name} is 0 everywhere. Lower the threshold that it was made with."
