"""Import a particles file: rename its optics group, check what was made elsewhere."""

from __future__ import annotations

import numpy as np

from vitreous.dataset.optics_tables import (
    GROUP_NAME,
    main_table,
    optics_of,
    pixel_size_A,
    require_known_groups,
)
from vitreous.dataset.particle_checks import Report, check_particles
from vitreous.dataset.particle_columns import IMAGE
from vitreous.dataset.particle_sample import sample_rows
from vitreous.dataset.reading import read_with_optics
from vitreous.errors import InputError, MissingFileError
from vitreous.io import Star, Table, write_star
from vitreous.io.cryosparc import read_cs
from vitreous.jobs.context import Run
from vitreous.jobs.import_ import Import

MTF = "rlnMtfFileName"


def import_particles(options: Import, run: Run) -> None:
    """Write the particles anew, all columns as they are, and warn of what looks wrong."""
    source = run.project / options.other_file
    if not source.is_file():
        raise MissingFileError(f"{options.other_file}: no such file.")
    star = _read(options, run)
    particles = main_table(star, IMAGE, options.other_file)
    if not len(particles):
        raise InputError(f"{options.other_file}: there are no particles in it.")
    optics = optics_of(star, options.other_file)
    require_known_groups(particles, optics, options.other_file)
    if options.particles_optics_group:
        optics = _renamed(optics, options.particles_optics_group, options.other_file)
        star = star.with_table(optics)
    _warn_of_absent_mtf(optics, run)
    write_star(run.path / options.output_name, star)
    run.headline("imported", len(particles), "", "Imported particles")
    run.headline("optics_groups", len(optics), "", "Optics groups")
    sizes = {size for row in optics.rows() if (size := pixel_size_A(row))}
    if len(sizes) == 1:
        run.headline("pixel_size", sizes.pop(), "Å", "Pixel size")
    _check(particles, optics, run)


def _read(options: Import, run: Run) -> Star:
    """Read a STAR file of any version, or particles of cryoSPARC."""
    path = run.project / options.other_file
    star = read_cs(path) if path.suffix == ".cs" else read_with_optics(path)
    for note in star.notes:
        run.warn(note, options.other_file)
    return star


def _renamed(optics: Table, name: str, source: str) -> Table:
    if len(optics) != 1:
        raise InputError(
            f"{source} has {len(optics)} optics groups, so it is not clear which of them would be "
            f"called {name}. Leave the name empty, or rename them in the file."
        )
    return optics.with_columns({GROUP_NAME: [name]})


def _warn_of_absent_mtf(optics: Table, run: Run) -> None:
    names = {str(name) for name in optics.get(MTF, [])} - {"", "None"}
    for name in sorted(names):
        if not (run.project / name).is_file():
            run.warn(
                "The optics groups name an MTF file that is not there, and refinement stops "
                f"without it. Put it there, or import the particles without the column {MTF} "
                f"(vitreous star --i_tablename optics --remove_column {MTF}).",
                name,
            )


def _check(particles: Table, optics: Table, run: Run) -> None:
    n_sampled = sum(len(rows) for rows in sample_rows(particles))
    with run.phase("Checking a sample of the images", n_sampled, "images") as progress:

        def each(n_images: int) -> None:
            run.check_abort()
            progress.advance(n_images)

        report = check_particles(particles, optics, each)
    for finding in report.findings:
        run.warn(finding.what, finding.unit)
    run.headline("checked", report.n_checked, "", "Images looked at")
    run.headline("warnings", len({x.what for x in report.findings}), "", "Kinds of warnings")
    _plot(report, run)


def _plot(report: Report, run: Run) -> None:
    """Hand in the mean spectrum of each optics group, and how the CTF explains it."""
    if report.spectra:
        run.plot(
            "power_spectrum",
            "line",
            "Mean power spectrum of the particles",
            {
                "axes": {
                    "x": {"label": "Spatial frequency", "unit": "1/Å"},
                    "y": {"label": "Natural logarithm of the power", "unit": ""},
                },
                "series": [
                    {
                        "name": name,
                        "x": (np.arange(1, len(power)) / box_A).tolist(),
                        "y": np.log(np.maximum(power[1:], 1e-30)).tolist(),
                    }
                    for name, (power, box_A) in report.spectra.items()
                ],
            },
        )
    if report.fits:
        run.plot(
            "defocus_check",
            "line",
            "Power of the particles of each micrograph, and the defocus that explains it best",
            {
                "axes": {
                    "x": {"label": "Spatial frequency", "unit": "1/Å"},
                    "y": {"label": "Natural logarithm of the power", "unit": ""},
                },
                "series": [
                    {
                        "name": f"{name}: {what}",
                        "x": fit.frequencies_per_A.tolist(),
                        "y": values.tolist(),
                    }
                    for name, fit in report.fits.items()
                    for what, values in (
                        ("measured", fit.spectrum),
                        (f"{fit.best_A / 1e4:.2f} µm", fit.model),
                    )
                ],
            },
        )
