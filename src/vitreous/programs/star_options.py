"""The options of `vitreous star`."""

from __future__ import annotations

import argparse

import numpy as np

from vitreous.programs.tool import finite, positive, star_name


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="vitreous star",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Look into a STAR file, or change its rows. Without an operation: what is in\n"
        "the file. Columns are named with or without the leading underscore.",
        epilog="examples:\n"
        "  vitreous star --i particles.star\n"
        "  vitreous star --i particles.star --o good.star --select rlnCtfMaxResolution --maxval 6\n"
        "  vitreous star --i 'a.star b.star' --o all.star --combine\n",
    )
    add = result.add_argument
    add("--i", required=True, metavar="FILE", help="input; for --combine several in one quotation")
    add(
        "--o", default="out.star", type=star_name, metavar="FILE", help="output (default: out.star)"
    )
    add("--i_tablename", metavar="NAME", help="table to work on (default: the first with rows)")
    add("--ignore_optics", action="store_true", help="accepted; files without optics just work")
    add("--angpix", type=positive, metavar="A", help="pixel size of the images, for --center")
    add("--json", action="store_true", help="contents or histogram as JSON")
    _row_options(result)
    _value_options(result)
    return result


def _row_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("compare: write OUT_both, OUT_only1, OUT_only2").add_argument
    add("--compare", metavar="FILE", help="the other file")
    add("--label1", metavar="LABEL", help="column that is equal in equal rows")
    add("--label2", metavar="LABEL", help="second column of numbers (plane)")
    add("--label3", metavar="LABEL", help="third column of numbers (space)")
    add("--max_dist", type=finite, default=0.0, metavar="D", help="how far numbers may differ")
    add = parser.add_argument_group("select rows").add_argument
    add("--select", metavar="LABEL", help="by a number in this column")
    add("--minval", type=float, default=-np.inf, metavar="V", help="lowest, included")
    add("--maxval", type=float, default=np.inf, metavar="V", help="highest, included")
    add("--select_by_str", metavar="LABEL", help="by the text in this column")
    add("--select_include", default="", metavar="TEXT", help="rows that contain it")
    add("--select_exclude", default="", metavar="TEXT", help="rows that do not")
    group = parser.add_argument_group("leave out images whose mean or deviation is unusual")
    add = group.add_argument
    add("--discard_on_stats", action="store_true", help="read all images and compare them")
    text = "column that names the images (default rlnImageName)"
    add("--discard_label", default="rlnImageName", metavar="LABEL", help=text)
    text = "deviations from the average that are usual (default 4)"
    add("--discard_sigma", type=positive, default=4.0, metavar="V", help=text)
    add = parser.add_argument_group("combine files").add_argument
    add("--combine", action="store_true", help="put rows below one another")
    text = "files of picking jobs (autopick.star): all picks of each micrograph, each place once"
    add("--combine_picks", action="store_true", help=text)
    add("--check_duplicates", metavar="LABEL", help="count values met twice")
    add = parser.add_argument_group("split: write OUT_split1, OUT_split2, ...").add_argument
    add("--split", action="store_true", help="deal the rows into files")
    add("--random_order", action="store_true", help="shuffle first")
    add("--random_seed", type=int, default=-1, metavar="N", help="for the same shuffle again")
    add("--nr_split", type=int, default=-1, metavar="N", help="how many files")
    add("--size_split", type=int, default=-1, metavar="N", help="how many rows in each")
    add = parser.add_argument_group("duplicates: write OUT and OUT_removed").add_argument
    add("--remove_duplicates", type=float, metavar="A", help="particles this near are the same")
    add("--image_angpix", type=positive, metavar="A", help="pixel size of the coordinates")


def _value_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("change values").add_argument
    add("--operate", metavar="LABEL", help="change this column")
    add("--operate2", metavar="LABEL", help="and this")
    add("--operate3", metavar="LABEL", help="and this")
    add("--set_to", metavar="VALUE", help="set all rows to this")
    add("--multiply_by", type=finite, default=1.0, metavar="V", help="multiply, before adding")
    add("--add_to", type=finite, default=0.0, metavar="V", help="add")
    add = parser.add_argument_group("centre on a point of the reference").add_argument
    add("--center", action="store_true", help="change the origins")
    for axis in "XYZ":
        text = "pixels from the centre of the reference"
        add(f"--center_{axis}", type=finite, default=0.0, metavar="PX", help=text)
    add = parser.add_argument_group("columns and order").add_argument
    add("--remove_column", metavar="LABEL", help="drop a column")
    add("--add_column", metavar="LABEL", help="add or replace a column")
    add("--add_column_value", metavar="VALUE", help="the same in all rows")
    add("--copy_column_from", metavar="LABEL", help="values of another column")
    add("--sort", metavar="LABEL", help="order the rows")
    add("--reverse", action="store_true", help="largest first")
    add = parser.add_argument_group("histogram").add_argument
    add("--hist_column", metavar="LABEL", help="show how its values are spread")
    add("--hist_bins", type=int, default=-1, metavar="N", help="default: Freedman-Diaconis")
    add("--hist_min", type=float, metavar="V", help="lowest value counted")
    add("--hist_max", type=float, metavar="V", help="highest value counted")
    add("--in_percent", action="store_true", help="instead of numbers")
    add("--show_cumulative", action="store_true", help="sums from the left")
