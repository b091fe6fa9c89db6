"""Subset selection: keep some of the classes, micrographs or particles."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from vitreous.dataset.duplicates import duplicates, positions_A
from vitreous.dataset.findings import name_a_few
from vitreous.dataset.optics_tables import (
    GROUP,
    OPTICS,
    image_rows,
    optics_of,
    require_known_groups,
    without_unused,
)
from vitreous.dataset.reading import read_with_optics
from vitreous.dataset.selection import by_text, by_value, split, value_range
from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table, write_star
from vitreous.jobs.context import Run
from vitreous.jobs.select import Select
from vitreous.programs.extra_flags import Flags
from vitreous.programs.select_by_eye import select_by_eye
from vitreous.programs.select_ordinary import ordinary_rows
from vitreous.programs.select_ranked import select_ranked
from vitreous.project.node_types import MICROGRAPHS, MOVIES, PARTICLES

DEFAULT_SEED = 1
_NOT_YET = {
    "filaments": "Selecting filaments by dendrogram is not part of this version of vitreous; "
    "choose classes by eye instead.",
}


def run(options: Select, run: Run) -> None:
    """Do the one task that the options switch on."""
    mode = options.mode
    if mode in _NOT_YET:
        raise InputError(_NOT_YET[mode])
    extra = _flags().read(options.running.other_arguments)
    if mode in ("display", "ranker"):
        by = select_by_eye if mode == "display" else select_ranked
        by(options, extra, run)
        return
    source = options.particles if mode == "duplicates" else options.micrographs or options.particles
    star = read_with_optics(run.project / source)
    rows = image_rows(star, source)
    if not len(rows):
        raise InputError(f"{source}: there are no rows to select from.")
    tasks: dict[str, Callable[[Select, argparse.Namespace, Star, Table, Run], None]] = {
        "values": _select_values,
        "discard": _discard,
        "split": _split,
        "duplicates": _remove_duplicates,
    }
    tasks[mode](options, extra, star, rows, run)


def _flags() -> Flags:
    flags = Flags("Select")
    flags.add_argument("--classes", default="", metavar="1,3-5")
    flags.add_argument("--max_nr_parts_per_class", type=int, metavar="N")
    flags.add_argument("--select_by_str", default="", metavar="LABEL")
    flags.add_argument("--select_include", default="", metavar="TEXT")
    flags.add_argument("--select_exclude", default="", metavar="TEXT")
    flags.add_argument("--random_seed", type=int, default=DEFAULT_SEED, metavar="N")
    flags.add_argument("--scorer", default="", metavar="COMMAND")
    flags.add_argument("--ranker", default="", metavar="COMMAND")
    flags.add_argument("--keep_best", default="", metavar="LABEL")
    return flags


def _select_values(
    options: Select, extra: argparse.Namespace, star: Star, rows: Table, run: Run
) -> None:
    """Keep rows whose value lies in a range, or whose text fits."""
    if extra.select_by_str:
        chosen = by_text(rows, extra.select_by_str, extra.select_include, extra.select_exclude)
        kept = rows.select(chosen)
        if OPTICS in star and GROUP in rows and len(kept):
            optics, kept = without_unused(star[OPTICS], kept)
            star = star.with_table(optics)
        _save(options, star, rows, kept, run)
        return
    chosen = by_value(rows, options.value_label, options.min_value, options.max_value)
    label = options.value_label.removeprefix("_")
    n_unknown = int(np.isnan(rows[label].astype(np.float64)).sum())
    if n_unknown:
        run.warn(f"Rows without a value of {label} (NaN) are left out.", f"{n_unknown:,} rows")
    if not chosen.any():
        raise InputError(
            f"None of the {len(rows):,} rows has a {label} of {options.min_value:g} to "
            f"{options.max_value:g}; the values go from {value_range(rows, label)}."
        )
    plot_values(run, {label: rows[label]}, chosen)
    _save(options, star, rows, rows.select(chosen), run)


def _discard(options: Select, extra: argparse.Namespace, star: Star, rows: Table, run: Run) -> None:
    """Leave out images whose mean or standard deviation is far from that of the others."""
    del extra
    label = options.image_label.removeprefix("_")
    chosen, values = ordinary_rows(rows, label, options.outlier_sigma, run)
    plot_values(run, values, chosen)
    _save(options, star, rows, rows.select(chosen), run)


def _split(options: Select, extra: argparse.Namespace, star: Star, rows: Table, run: Run) -> None:
    """Deal the rows into files of their own."""
    generator = None
    if options.shuffle:
        generator = np.random.default_rng(extra.random_seed)
        run.say(f"Rows are shuffled with seed {extra.random_seed} (--random_seed N for another)")
    subsets, n_dropped = split(len(rows), options.n_subsets, options.subset_size, generator)
    stem = "micrographs" if options.micrographs else "particles"
    for number, subset in enumerate(subsets, start=1):
        name = f"{stem}_split{number}.star"
        write_star(run.path / name, star.with_table(rows.select(subset)))
        run.add_output(run.folder + name, _node_type(rows))
        run.say(f"{name}: {len(subset):,} rows")
    if n_dropped:
        run.warn(
            f"{n_dropped:,} rows are in no subset: {options.n_subsets} subsets of "
            f"{options.subset_size:,} were asked for and there are {len(rows):,} rows."
        )
    if len(subsets) < options.n_subsets:
        run.warn(
            f"There are only {len(subsets)} subsets, not {options.n_subsets}: there are not enough "
            "rows for more."
        )
    run.headline("selected", len(rows) - n_dropped, "", "Rows in subsets")
    run.headline("total", len(rows), "", "Out of")
    run.headline("subsets", len(subsets), "", "Subsets")


def _remove_duplicates(
    options: Select, extra: argparse.Namespace, star: Star, rows: Table, run: Run
) -> None:
    """Leave one of particles that were picked twice."""
    label = next((x for x in ("rlnMicrographName", "rlnTomoName") if x in rows), "")
    if not label:
        raise FormatError(
            f"{options.particles}: without rlnMicrographName nobody knows which particles lie "
            "beside each other."
        )
    positions = positions_A(rows, _micrograph_pixel_A(options, star, rows, run))
    unplaced = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if unplaced.size:
        run.warn(
            "Particles whose coordinates are no numbers are kept; they cannot be compared.",
            "rows " + name_a_few((unplaced + 1).tolist()),
        )
    merit = None
    if extra.keep_best:
        merit = rows[extra.keep_best.removeprefix("_")].astype(np.float64)
    removed = duplicates(positions, rows[label], options.min_distance_A, merit)
    run.say(f"Removed {int(removed.sum()):,} of {len(rows):,} particles")
    write_star(
        run.path / "particles_removed.star",
        star.with_table(rows.select(removed)),
        keep_empty=True,
    )
    _save(options, star, rows, rows.select(~removed), run)
    run.headline("removed", int(removed.sum()), "", "Duplicates removed")


def _micrograph_pixel_A(options: Select, star: Star, rows: Table, run: Run) -> np.ndarray | float:
    """Return the pixel size of each row's micrograph, which its coordinates count."""
    if options.micrograph_pixel_size_A > 0:
        return options.micrograph_pixel_size_A
    optics = optics_of(star, options.particles)
    require_known_groups(rows, optics, options.particles)
    if "rlnMicrographPixelSize" in optics:
        sizes = dict(
            zip(optics[GROUP].tolist(), optics["rlnMicrographPixelSize"].tolist(), strict=True)
        )
        return np.array([sizes[group] for group in rows[GROUP].tolist()])
    guess = float(optics.value("rlnImagePixelSize"))
    run.warn(
        f"The pixel size of the micrographs is not known; {guess:g} Å, that of the particles, is "
        "used as RELION does. Where particles were scaled down this is wrong, and so are all "
        'distances: give "Pixel size before extraction".'
    )
    return guess


def _save(options: Select, star: Star, rows: Table, kept: Table, run: Run) -> None:
    """Write what is left."""
    if not len(kept):
        raise InputError(f"None of the {len(rows):,} rows is left; nothing is written.")
    name = "micrographs.star" if options.micrographs else "particles.star"
    write_star(run.path / name, star.with_table(kept))
    run.say(f"{name}: {len(kept):,} of {len(rows):,} rows")
    run.headline("selected", len(kept), "", "Selected")
    run.headline("total", len(rows), "", "Out of")


def plot_values(run: Run, values: dict[str, np.ndarray], chosen: np.ndarray) -> None:
    """Hand in histograms of what decided, of all rows and of those kept."""
    series = []
    for name, column in values.items():
        finite = column[np.isfinite(column)].astype(np.float64)
        if finite.size:
            edges = np.histogram_bin_edges(finite, bins=40)
            for what, part in (("all", column), ("kept", column[chosen])):
                counts, _ = np.histogram(part[np.isfinite(part)], bins=edges)
                series.append(
                    {"name": f"{name}, {what}", "edges": edges.tolist(), "counts": counts.tolist()}
                )
    run.plot(
        "values",
        "histogram",
        f"Distribution of {' and '.join(values)}",
        {
            "axes": {
                "x": {"label": " / ".join(values), "unit": ""},
                "y": {"label": "Rows", "unit": ""},
            },
            "series": series,
        },
    )


def _node_type(rows: Table) -> str:
    if "rlnImageName" in rows:
        return PARTICLES
    return MOVIES if "rlnMicrographMovieName" in rows and rows.name == "movies" else MICROGRAPHS
