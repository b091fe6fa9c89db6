"""`vitreous star`: look into STAR files and change their rows; options named as in RELION.

One operation per call. The table worked on is the first one with rows that is not the optics
table, or the one that `--i_tablename` names; all other tables are kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset import combined_picks, duplicates, joining, selection, table_operations
from vitreous.dataset.optics_tables import GROUP, OPTICS
from vitreous.errors import InputError
from vitreous.io import Star, Table, read_star, write_star
from vitreous.io.coordinates import TABLE, place_of_picks, read_coordinates
from vitreous.programs.select_ordinary import Console, ordinary_rows
from vitreous.programs.star_options import parser
from vitreous.programs.tool import report

_LONGEST_BAR = 40


def main(argv: list[str]) -> int:
    """Read the command line, do what it says, return the exit code."""
    arguments = parser().parse_args(argv)
    return report("star", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> list[str]:
    """Do the one operation asked for; return the lines to print."""
    asked = [name for name in _OPERATIONS if getattr(arguments, name) not in (None, False)]
    if len(asked) > 1:
        raise InputError(f"one operation at a time, not {' and '.join('--' + a for a in asked)}")
    return _OPERATIONS[asked[0]](arguments) if asked else _describe(arguments)


def _input(arguments: argparse.Namespace) -> tuple[Star, str]:
    """Return the input file and the name of the table to work on."""
    star = read_star(arguments.i)
    return star, _table_name(star, arguments.i, arguments.i_tablename)


def _table_name(star: Star, source: str, wanted: str | None) -> str:
    if wanted is not None:
        star[wanted.removeprefix("data_")]  # an absent one is told with those there are
        return wanted.removeprefix("data_")
    for name, table in star.items():
        if name != OPTICS and len(table) and not table.is_list:
            return name
    raise InputError(f"{source} has no table with rows to work on")


def _with(star: Star, name: str, table: Table) -> Star:
    """Put a table in the place of the one with this key."""
    tables = [table if key == name else old for key, old in star.items()]
    return Star(tables, version=star.version, comments=star.comments)


def _write(path: str, star: Star, n_rows: int) -> str:
    write_star(path, star)
    return f"{path}: {n_rows:,} row{'s' if n_rows != 1 else ''}"


def _beside(path: str, suffix: str) -> str:
    """Return ``out_suffix.star`` for ``out.star``."""
    place = Path(path)
    return str(place.with_name(f"{place.stem}_{suffix}{place.suffix}"))


def _label(text: str) -> str:
    return text.removeprefix("_")


def _describe(arguments: argparse.Namespace) -> list[str]:
    star = read_star(arguments.i)
    if arguments.json:
        tables = [
            {"name": t.name, "is_list": t.is_list, "rows": len(t), "labels": list(t.labels)}
            for t in star.tables
        ]
        return [json.dumps({"version": star.version, "tables": tables})]
    lines = [f"{arguments.i}: version {star.version or 'not told (RELION 3.0 or older)'}"]
    if not star.tables:
        lines.append("no table in it")
    for table in star.tables:
        size = "a list" if table.is_list else f"{len(table):,} rows"
        lines.append(f"data_{table.name}: {size}, {len(table.labels)} columns")
        lines += [f"    {label:<32} {_range(table[label])}" for label in table.labels]
    return lines


def _range(column: np.ndarray) -> str:
    if not len(column):
        return ""
    if column.dtype == object or len(column) == 1:
        return f"{column[0]}{' ...' if len(column) > 1 else ''}"
    return f"{column.min():g} to {column.max():g}"


def _compare(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    other = read_star(arguments.compare)
    other_name = _table_name(other, arguments.compare, arguments.i_tablename)
    labels = [_label(x) for x in (arguments.label1, arguments.label2, arguments.label3) if x]
    if not labels:
        raise InputError("--compare needs --label1, the column that tells which rows are the same")
    left, right = star[name], other[other_name]
    in_right, in_left = table_operations.matches(left, right, labels, arguments.max_dist)
    return [
        _kept(_beside(arguments.o, "both"), star, name, in_right),
        _kept(_beside(arguments.o, "only1"), star, name, ~in_right),
        _kept(_beside(arguments.o, "only2"), other, other_name, ~in_left),
    ]


def _kept(path: str, star: Star, name: str, mask: NDArray[np.bool_]) -> str:
    return _write(path, _with(star, name, star[name].select(mask)), int(mask.sum()))


def _select(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    mask = selection.by_value(star[name], arguments.select, arguments.minval, arguments.maxval)
    if not mask.any():
        raise InputError(
            f"{arguments.i}: no row of data_{name} has {arguments.select} from "
            f"{arguments.minval:g} to {arguments.maxval:g}; the values go from "
            f"{selection.value_range(star[name], arguments.select)}"
        )
    return [_kept(arguments.o, star, name, mask)]


def _select_by_str(arguments: argparse.Namespace) -> list[str]:
    include, exclude = arguments.select_include, arguments.select_exclude
    if not include and not exclude:
        raise InputError("--select_by_str needs --select_include, --select_exclude or both")
    star, name = _input(arguments)
    mask = selection.by_text(star[name], arguments.select_by_str, include, exclude)
    if not mask.any():
        wanted = [f"contains {include!r}"] if include else []
        wanted += [f"does not contain {exclude!r}"] if exclude else []
        first = star[name][_label(arguments.select_by_str)][0]
        raise InputError(
            f"{arguments.i}: no row of data_{name} has an {arguments.select_by_str} that "
            f"{' and '.join(wanted)}; the first one is {first}"
        )
    return [_kept(arguments.o, star, name, mask)]


def _discard(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    label, n_sigma = _label(arguments.discard_label), arguments.discard_sigma
    mask, values = ordinary_rows(star[name], label, n_sigma, Console("star"))
    lines = [
        f"{what} of the images: {known.mean():.6g} on average, deviation {known.std():.6g}"
        for what, column in values.items()
        for known in [column[np.isfinite(column)]]
    ]
    if not mask.any():
        raise InputError(
            f"{arguments.i}: no image lies within {n_sigma:g} deviations of the average; "
            "give a larger --discard_sigma"
        )
    lines.append(f"{int((~mask).sum()):,} of {len(mask):,} rows are left out")
    return [*lines, _kept(arguments.o, star, name, mask)]


def _combine_picks(arguments: argparse.Namespace) -> list[str]:
    """Write the picks of several jobs beside the output, and the list of them as the output."""
    by_micrograph: dict[str, list[Table]] = {}
    for source in arguments.i.split():
        for micrograph, picks in read_coordinates(source):
            by_micrograph.setdefault(micrograph, []).append(picks)
    if not by_micrograph:
        raise InputError(f"{arguments.i}: there are no picks in these files")
    target = Path(arguments.o)
    folder = "" if target.parent == Path() else f"{target.parent}/"
    places = {m: place_of_picks(folder, m.lstrip("/"), target.stem) for m in by_micrograph}
    if len(set(places.values())) < len(places):
        raise InputError("micrographs of two jobs have the same name; combine those of one job")
    n_kept, n_twice = 0, 0
    for micrograph, tables in by_micrograph.items():
        rows, twice = combined_picks.combine(tables)
        n_kept, n_twice = n_kept + len(rows), n_twice + twice
        Path(places[micrograph]).parent.mkdir(parents=True, exist_ok=True)
        write_star(places[micrograph], Star([rows]))
    columns = {"rlnMicrographName": list(places), "rlnMicrographCoordinates": list(places.values())}
    write_star(target, Star([Table.from_columns(TABLE, columns)]))
    told = f"{target}: {n_kept:,} picks in {len(places):,} micrographs"
    return [f"{told}; {n_twice:,} picked before are left out" if n_twice else told]


def _combine(arguments: argparse.Namespace) -> list[str]:
    sources = arguments.i.split()
    stars = [read_star(source) for source in sources]
    names = [
        _table_name(star, source, arguments.i_tablename)
        for star, source in zip(stars, sources, strict=True)
    ]
    first = stars[0][names[0]]
    lines = []
    if all(OPTICS in star for star in stars):
        key = next((x for x in ("rlnImageName", "rlnMicrographName") if x in first), GROUP)
        joined = joining.join(stars, sources, key, force=False)
        combined, table = joined.star, joined.table
        lines = [f"{found.what} {found.unit}".strip() for found in joined.findings]
    else:
        table = Table.concat([star[name] for star, name in zip(stars, names, strict=True)])
        combined = Star([table], version=stars[0].version)
    if arguments.check_duplicates:
        twice = joining.repeated(table, _label(arguments.check_duplicates))
        lines.append(f"{len(twice):,} values of {arguments.check_duplicates} stand more than once")
    return [*lines, _write(arguments.o, combined, len(table))]


def _split(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    seed = None if arguments.random_seed < 0 else arguments.random_seed
    generator = np.random.default_rng(seed) if arguments.random_order else None
    table = star[name]
    subsets, n_left = selection.split(
        len(table), arguments.nr_split, arguments.size_split, generator
    )
    lines = [
        _write(_beside(arguments.o, f"split{i}"), _with(star, name, table.select(rows)), len(rows))
        for i, rows in enumerate(subsets, start=1)
    ]
    return lines + ([f"{n_left:,} rows are in none of them"] if n_left else [])


def _operate(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    labels = [_label(x) for x in (arguments.operate, arguments.operate2, arguments.operate3) if x]
    changed = table_operations.operate(
        star[name],
        labels,
        set_to=arguments.set_to,
        multiply_by=arguments.multiply_by,
        add_to=arguments.add_to,
    )
    return [_write(arguments.o, _with(star, name, changed), len(changed))]


def _center(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    point = (arguments.center_X, arguments.center_Y, arguments.center_Z)
    pixel = _pixel_size_A(star, star[name], ("rlnImagePixelSize",), arguments.angpix, "--angpix")
    changed = table_operations.centred(star[name], point, pixel)
    return [_write(arguments.o, _with(star, name, changed), len(changed))]


def _remove_duplicates(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    table = star[name]
    labels = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")
    pixel = _pixel_size_A(star, table, labels, arguments.image_angpix, "--image_angpix")
    removed = duplicates.duplicates(
        duplicates.positions_A(table, pixel),
        table["rlnMicrographName"],
        arguments.remove_duplicates,
    )
    return [
        _kept(arguments.o, star, name, ~removed),
        _kept(_beside(arguments.o, "removed"), star, name, removed),
    ]


def _pixel_size_A(
    star: Star, table: Table, labels: tuple[str, ...], given: float | None, flag: str
) -> NDArray[np.float64] | float:
    """Return the pixel size of each row by its optics group, or the one that was given."""
    if given is not None:
        return given
    optics = star.get(OPTICS)
    label = next((x for x in labels if optics is not None and x in optics), None)
    if optics is None or label is None or GROUP not in table:
        raise InputError(f"the optics table does not tell {' or '.join(labels)}; give {flag}")
    sizes = dict(zip(optics[GROUP].tolist(), optics[label].tolist(), strict=True))
    unknown = sorted(set(table[GROUP].tolist()) - set(sizes))
    if unknown:
        raise InputError(f"data_{table.name} names optics groups that are not there: {unknown}")
    return np.array([sizes[group] for group in table[GROUP].tolist()])


def _remove_column(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    label = _label(arguments.remove_column)
    star[name][label]  # an absent one is told with those there are
    changed = star[name].without(label)
    return [_write(arguments.o, _with(star, name, changed), len(changed))]


def _add_column(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    value, source = arguments.add_column_value, arguments.copy_column_from
    if (value is None) == (source is None):
        raise InputError("--add_column needs either --add_column_value or --copy_column_from")
    column: object = value if source is None else star[name][_label(source)]
    changed = star[name].with_columns({_label(arguments.add_column): column})
    return [_write(arguments.o, _with(star, name, changed), len(changed))]


def _sort(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    changed = table_operations.sorted_by(
        star[name], _label(arguments.sort), descending=arguments.reverse
    )
    return [_write(arguments.o, _with(star, name, changed), len(changed))]


def _histogram(arguments: argparse.Namespace) -> list[str]:
    star, name = _input(arguments)
    found = table_operations.histogram(
        star[name],
        _label(arguments.hist_column),
        n_bins=arguments.hist_bins if arguments.hist_bins > 0 else None,
        lowest=arguments.hist_min,
        highest=arguments.hist_max,
    )
    if arguments.json:
        return [json.dumps(dataclasses.asdict(found))]
    counts = np.array(found.counts)
    if arguments.show_cumulative:
        counts = np.cumsum(counts) + found.below
    shown = 100 * counts / len(star[name]) if arguments.in_percent else counts
    longest = max(counts.max(), 1)
    lines = [f"{key:>10} {value:g}" for key, value in found.summary.items()]
    for low, high, count, value in zip(found.edges, found.edges[1:], counts, shown, strict=False):
        bar = "#" * round(_LONGEST_BAR * count / longest)
        lines.append(f"{low:12g} to {high:<12g} {value:10.6g} {bar}".rstrip())
    if found.below or found.above:
        lines.append(f"{found.below:,} values lie below, {found.above:,} above")
    return lines


_OPERATIONS: Mapping[str, Callable[[argparse.Namespace], list[str]]] = {
    "compare": _compare,
    "select": _select,
    "select_by_str": _select_by_str,
    "discard_on_stats": _discard,
    "combine": _combine,
    "combine_picks": _combine_picks,
    "split": _split,
    "operate": _operate,
    "center": _center,
    "remove_column": _remove_column,
    "add_column": _add_column,
    "hist_column": _histogram,
    "remove_duplicates": _remove_duplicates,
    "sort": _sort,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
