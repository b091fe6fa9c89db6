"""Import movies or micrographs: files that match a pattern, under one optics group."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from vitreous.dataset.findings import name_a_few
from vitreous.dataset.import_tables import (
    MICROGRAPHS,
    MOVIES,
    Microscope,
    add_exposures,
    repeated_base_names,
)
from vitreous.dataset.optics_tables import OPTICS, main_table
from vitreous.errors import InputError, MissingFileError, OptionError, Problem
from vitreous.io import Star, Table, read_star, write_star
from vitreous.io.movies import open_movie
from vitreous.jobs.context import Run
from vitreous.jobs.import_ import Import

_SAME_PIXEL = 0.01
_UNSET_PIXEL_SIZES = (0.0, 1.0)


def import_images(options: Import, run: Run) -> None:
    """List the files; a continued job adds those that are new."""
    problems = list(_problems(options, run))
    if problems:
        raise OptionError(problems)
    exposures = MOVIES if options.are_movies else MICROGRAPHS
    target = run.path / options.output_name
    existing = read_star(target) if run.is_continue and target.exists() else None
    known = _listed(existing, exposures.table, exposures.label)
    files = _files(options.images, run)
    usable = [*_usable(files, known, options, run)]
    if not usable:
        raise InputError(
            f"{options.images}: none of the {len(files):,} files that match can be used."
        )
    _warn_of_repeated_names(usable, run)
    microscope = Microscope(
        group=options.optics_group,
        pixel_size_A=options.pixel_size_A,
        voltage_kV=options.voltage_kV,
        cs_mm=options.cs_mm,
        amplitude_contrast=options.amplitude_contrast,
        beam_tilt_mrad=(options.beam_tilt_x_mrad, options.beam_tilt_y_mrad),
        mtf=options.mtf,
    )
    star, new = add_exposures(usable, microscope, exposures, existing)
    write_star(target, star)
    _tell(options, run, star, exposures.table, len(new))


def _problems(options: Import, run: Run) -> Iterator[Problem]:
    if Path(options.images).is_absolute() or ".." in Path(options.images).parts:
        yield Problem(
            "images",
            f"{options.images} leads out of the project folder. Make a symbolic link in the "
            "project folder (ln -s /where/the/movies/are Movies) and give Movies/*.tiff.",
        )
    for name in ("pixel_size_A", "voltage_kV"):
        value = getattr(options, name)
        if not value > 0:
            yield Problem(name, f"is {value:g}; it must be above 0.")
    if not re.fullmatch("[0-9A-Za-z-]+", options.optics_group):
        yield Problem(
            "optics_group",
            f"{options.optics_group!r} may only have letters, digits and hyphens.",
        )
    if options.mtf:
        try:
            main_table(read_star(run.project / options.mtf), "rlnMtfValue", options.mtf)
        except InputError as error:
            yield Problem("mtf", str(error))


def _listed(existing: Star | None, table: str, label: str) -> set[str]:
    """Return the files of an earlier import."""
    rows: Table | None = None if existing is None else existing.get(table)
    return set() if rows is None else set(rows[label].tolist())


def _files(pattern: str, run: Run) -> list[str]:
    """Return the files that match, sorted by name."""
    found = sorted(glob.glob(pattern, root_dir=run.project))
    files = [name for name in found if (run.project / name).is_file()]
    if not files:
        folder = run.project / Path(pattern).parent
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        hint = (
            f"{folder.name or 'The project folder'} has {name_a_few(there)}"
            if there
            else (
                f"there is no folder {Path(pattern).parent}"
                if not folder.is_dir()
                else f"{folder.name} is empty"
            )
        )
        raise MissingFileError(f"No file matches {pattern}: {hint}.")
    return files


def _usable(files: list[str], known: set[str], options: Import, run: Run) -> Iterator[str]:
    """Yield the files that are not empty; open new ones until one can be read."""
    must_open = True
    with run.phase("Looking at the files", len(files), "files") as progress:
        for name in files:
            run.check_abort()
            progress.advance()
            if name not in known:
                try:
                    if (run.project / name).stat().st_size == 0:
                        run.warn("Empty files are skipped; continue the job to add them.", name)
                        continue
                    if must_open:
                        _warn_of_pixel_size(name, options, run)
                        must_open = False
                except (InputError, OSError) as error:
                    run.warn(f"A file that cannot be read is skipped: {error}", name)
                    continue
            yield name


def _warn_of_pixel_size(name: str, options: Import, run: Run) -> None:
    """Open one file and compare it with the options."""
    with open_movie(run.project / name) as movie:
        told, n_frames = movie.pixel_size_A, movie.n_frames
    if options.are_movies and n_frames == 1:
        run.warn("There is only one frame, so these are micrographs, not movies.", name)
    elif not options.are_movies and n_frames > 1:
        run.warn(f"There are {n_frames} frames, so these are movies, not micrographs.", name)
    given = options.pixel_size_A
    if told not in _UNSET_PIXEL_SIZES and abs(told / given - 1) > _SAME_PIXEL:
        run.warn(
            f"The header says {told:.4g} Å per pixel, the option says {given:.4g} Å; the option is "
            "used. A wrong pixel size spoils the CTF and scales the map.",
            name,
        )


def _warn_of_repeated_names(files: list[str], run: Run) -> None:
    for same in repeated_base_names(files):
        run.warn(
            "Files in different folders, or of different types, have the same name; programs that "
            "look only at the name would mix them up.",
            name_a_few(same),
        )


def _tell(options: Import, run: Run, star: Star, table: str, n_new: int) -> None:
    n_files, n_groups = len(star[table]), len(star[OPTICS])
    groups = "1 optics group" if n_groups == 1 else f"{n_groups} optics groups"
    run.say(f"{n_new:,} new of {n_files:,} {table} in {groups}")
    run.headline("imported", n_files, "", f"Imported {table}")
    run.headline("new", n_new, "", f"New {table}")
    run.headline("optics_groups", n_groups, "", "Optics groups")
    run.headline("pixel_size", options.pixel_size_A, "Å", "Pixel size")
