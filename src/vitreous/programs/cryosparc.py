"""`vitreous cryosparc`: particles from cryoSPARC's `.cs` files to a STAR file, or the other way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vitreous.dataset.reading import read_with_optics
from vitreous.errors import InputError
from vitreous.io import write_star
from vitreous.io.cryosparc import read_cs
from vitreous.io.cryosparc_write import write_cs
from vitreous.programs.tool import report


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return report("cryosparc", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> list[str]:
    """Convert, and return what to print."""
    source, target = Path(arguments.i), Path(arguments.o)
    if {source.suffix, target.suffix} != {".cs", ".star"}:
        raise InputError(
            f"--i {source} --o {target}: wanted one name that ends in .cs and one in .star."
        )
    if source.suffix == ".cs":
        star = read_cs(source, arguments.passthrough)
        write_star(target, star)
        notes = star.notes
    else:
        if arguments.passthrough:
            raise InputError("--passthrough: a STAR file has no passthrough files.")
        star = read_with_optics(source)
        notes = (*star.notes, *write_cs(target, star, root=arguments.root))
    for note in notes:
        sys.stderr.write(f"warning: {note}\n")
    n, groups = len(star["particles"]), len(star["optics"])
    return [f"{target}: {n:,} particles in {groups} optics groups"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitreous cryosparc",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Turn particles of cryoSPARC into a STAR file, or a STAR file into .cs:\n"
        "images, CTF, beam tilt, coordinates, poses, shifts, classes, half-sets, optics groups.",
        epilog="examples:\n"
        "  vitreous cryosparc --i J24_particles.cs --passthrough J24_passthrough.cs --o p.star\n"
        "  vitreous cryosparc --i Refine3D/job012/run_data.star --o particles.cs\n",
    )
    add = parser.add_argument
    add("--i", required=True, metavar="FILE", help="particles, .cs or .star")
    add("--o", required=True, metavar="FILE", help="output, .star or .cs")
    add(
        "--passthrough",
        nargs="*",
        default=[],
        metavar="FILE",
        help="more .cs files of the same particles, joined by their uid",
    )
    add("--root", default=".", metavar="DIR", help="folder that names of micrographs start from")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
