"""Import one file made elsewhere: coordinates, particles, references, a map, a mask, halves."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vitreous.dataset.findings import name_a_few
from vitreous.dataset.map_checks import map_findings, require_map, require_same_grid
from vitreous.dataset.optics_tables import OPTICS, main_table
from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import Table, read_header, read_star, write_star
from vitreous.io.atomic import replacing, write_text
from vitreous.io.coordinates import TABLE, read_picks
from vitreous.jobs.context import Run
from vitreous.jobs.import_ import Import, other_half
from vitreous.programs.import_particles import import_particles
from vitreous.project.node_types import (
    COORDINATES,
    DENSITY_MAP,
    HALF_MAP,
    IMAGES_2D,
    MASK,
    MICROGRAPHS,
    PARTICLES,
)

MICROGRAPH, FILE = "rlnMicrographName", "rlnMicrographCoordinates"
_JOB_FOLDER = re.compile(r"^[^/]+/job\d{3,}/")


def import_other(options: Import, run: Run) -> None:
    """Check the file and bring it into the job folder."""
    importers: dict[str, Callable[[Import, Run], None]] = {
        COORDINATES: _coordinates,
        PARTICLES: import_particles,
        IMAGES_2D: _references,
        MICROGRAPHS: _micrographs,
        DENSITY_MAP: _map,
        MASK: _map,
        HALF_MAP: _half_maps,
    }
    importers[options.other_type](options, run)


def _coordinates(options: Import, run: Run) -> None:
    """Copy coordinate files with their folders and leave a list of them."""
    if "*" in options.other_file:
        _coordinates_by_pattern(options, run)
    else:
        _coordinates_by_list(options, run)


def _coordinates_by_pattern(options: Import, run: Run) -> None:
    """Make the list in RELION 3.1's form, which names a suffix only."""
    pattern = options.other_file
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise InputError(
            f"{pattern} leads out of the project folder. Make a symbolic link in the project "
            "folder and give the pattern through it."
        )
    files = sorted(glob.glob(pattern, root_dir=run.project))
    if not files:
        raise MissingFileError(f"No coordinate file matches {pattern}.")
    n_files, n_picks = _copy_coordinates([(name, _below_job(name)) for name in files], run)
    write_text(run.path / options.output_name, pattern.rpartition("*")[0] + "*.mrc\n")
    _tell_coordinates(run, n_files, n_picks)


def _coordinates_by_list(options: Import, run: Run) -> None:
    """Make the list in RELION 4's form from one that was made elsewhere."""
    source = run.project / options.other_file
    table = main_table(read_star(source), FILE, options.other_file)
    if MICROGRAPH not in table:
        raise FormatError(f"{options.other_file}: data_{table.name} has no {MICROGRAPH}.")
    pairs = list(zip(table[MICROGRAPH].tolist(), table[FILE].tolist(), strict=True))
    targets = {file: _below_job(file.lstrip("/")) for _, file in pairs}
    n_files, n_picks = _copy_coordinates(list(targets.items()), run)
    kept = [
        (micrograph, run.folder + targets[file])
        for micrograph, file in pairs
        if (run.path / targets[file]).is_file()
    ]
    target = run.path / options.output_name  # as RELION names it, which may add a folder
    target.parent.mkdir(parents=True, exist_ok=True)
    write_star(target, [Table.from_rows(TABLE, (MICROGRAPH, FILE), kept)])
    _tell_coordinates(run, n_files, n_picks)


def _copy_coordinates(files: list[tuple[str, str]], run: Run) -> tuple[int, int]:
    """Copy files that hold coordinates; return how many files and picks there are."""
    n_files = n_picks = 0
    with run.phase("Copying coordinates", len(files), "files") as progress:
        for name, target in files:
            run.check_abort()
            progress.advance()
            try:
                _require_inside(target)
                picks = len(read_picks(run.project / name))
                _copy(run.project / name, run.path / target)
            except InputError as error:
                run.warn(f"A coordinate file is skipped: {error}", name)
                continue
            n_files, n_picks = n_files + 1, n_picks + picks
    if not n_files:
        raise InputError(f"None of the {len(files):,} coordinate files can be read.")
    return n_files, n_picks


def _below_job(path: str) -> str:
    """Return a path without a leading ``JobType/jobNNN/``: where jobs look for it."""
    return _JOB_FOLDER.sub("", path)


def _require_inside(target: str) -> None:
    if ".." in PurePosixPath(target).parts:
        raise InputError(f"{target} leads out of the job folder.")


def _tell_coordinates(run: Run, n_files: int, n_picks: int) -> None:
    run.headline("imported", n_files, "", "Imported coordinate files")
    run.headline("coordinates", n_picks, "", "Coordinates in them")
    run.say(f"{n_picks:,} coordinates in {n_files:,} files")


def _references(options: Import, run: Run) -> None:
    """Copy a stack of references, or a STAR file that names them."""
    source = _source(options, run)
    if source.suffix == ".star":
        star = read_star(source)
        labels = ("rlnReferenceImage", "rlnImageName", "rlnImageOriginalName")
        label = next((x for x in labels if any(x in table for table in star.tables)), labels[0])
        n_images = len(main_table(star, label, options.other_file))
    else:
        n_images = read_header(source).shape[0]
    _copy(source, run.path / options.output_name)
    run.headline("imported", n_images, "", "Imported references")


def _micrographs(options: Import, run: Run) -> None:
    """Copy a list of micrographs."""
    source = _source(options, run)
    star = read_star(source)
    table = main_table(star, "rlnMicrographName", options.other_file)
    if OPTICS not in star:
        run.warn(
            "There is no data_optics; jobs make optics groups from the columns of RELION 3.0 each "
            "time they read the file.",
            options.other_file,
        )
    absent = [name for name in table["rlnMicrographName"] if not (run.project / name).is_file()]
    if absent:
        run.warn(
            f"{len(absent):,} of {len(table):,} micrographs are not there; jobs will skip them.",
            name_a_few(absent),
        )
    _copy(source, run.path / options.output_name)
    run.headline("imported", len(table), "", "Imported micrographs")


def _map(options: Import, run: Run) -> None:
    """Copy a map or a mask."""
    source = _source(options, run)
    for finding in map_findings(source, is_mask=options.other_type == MASK):
        run.warn(finding.what, options.other_file)
    _copy(source, run.path / options.output_name)
    _tell_map(run, source, 1)


def _half_maps(options: Import, run: Run) -> None:
    """Copy both halves."""
    first, second = _source(options, run), run.project / other_half(options.other_file)
    if first == second:
        raise InputError(
            f"{options.other_file}: the name has neither half1 nor half2, so the other half cannot "
            "be found. Rename the files, for example run_half1_class001_unfil.mrc."
        )
    if not second.is_file():
        raise MissingFileError(
            f"{other_half(options.other_file)}: the other half of {options.other_file} is not "
            "there; both are needed."
        )
    require_same_grid(first, second)
    for path in (first, second):
        for finding in map_findings(path):
            run.warn(finding.what, path.name)
        _copy(path, run.path / path.name)
    _tell_map(run, first, 2)


def _tell_map(run: Run, path: Path, n_maps: int) -> None:
    header = require_map(path)
    run.headline("imported", n_maps, "", "Imported maps")
    run.headline("box", header.shape[0], "pixels", "Box")
    run.headline("pixel_size", header.pixel_size_A, "Å", "Pixel size")


def _source(options: Import, run: Run) -> Path:
    path = run.project / options.other_file
    if not path.is_file():
        raise MissingFileError(f"{options.other_file}: no such file.")
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy a file as it is, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as old, replacing(target) as new:
        shutil.copyfileobj(old, new)
