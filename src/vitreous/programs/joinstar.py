"""Join star files: several lists of one kind become one, with one set of optics groups."""

from __future__ import annotations

from vitreous.dataset.findings import name_a_few
from vitreous.dataset.joining import join, repeated
from vitreous.dataset.optics_tables import OPTICS, main_table
from vitreous.dataset.reading import read_with_optics
from vitreous.errors import InputError
from vitreous.io import write_star
from vitreous.jobs.context import Run
from vitreous.jobs.evaluate import output_nodes
from vitreous.jobs.joinstar import JoinStar
from vitreous.programs.extra_flags import Flags

_LABELS = {
    "join_particles": "rlnImageName",
    "join_micrographs": "rlnMicrographName",
    "join_movies": "rlnMicrographMovieName",
}


def run(options: JoinStar, run: Run) -> None:
    """Join the files that the options name, in their order."""
    flags = Flags("JoinStar")
    flags.add_argument("--force", action="store_true")
    flags.add_argument("--check_duplicates", default="")
    extra = flags.read(options.running.other_arguments)
    label = next(label for name, label in _LABELS.items() if options.value(name))
    files = options.files
    if len(set(files)) < len(files):
        raise InputError(f"A file is given twice: {', '.join(files)}. Give each once.")
    with run.phase("Reading", len(files), "files") as progress:
        stars = []
        for name in files:
            run.check_abort()
            stars.append(read_with_optics(run.project / name))
            progress.advance()
    for name, star in zip(files, stars, strict=True):
        run.say(f"{name}: {len(main_table(star, label, name)):,} rows")
    joined = join(stars, files, label, force=extra.force)
    for finding in joined.findings:
        run.warn(finding.what, finding.unit)
    twice = repeated(joined.table, extra.check_duplicates or label)
    if twice:
        run.warn(
            f"{len(twice):,} values of {extra.check_duplicates or label} stand in more than one "
            "row. All rows are kept: such images count double, and in different half-sets they "
            "make the resolution look better than it is.",
            name_a_few(twice),
        )
    (output,) = output_nodes(options, run.folder)
    write_star(run.project / output.path, joined.star)
    run.headline("rows", len(joined.table), "", "Rows in the joined file")
    run.headline("duplicates", len(twice), "", "Entries that stand more than once")
    run.headline("optics_groups", len(joined.star[OPTICS]), "", "Optics groups")
