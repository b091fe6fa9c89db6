"""Auto-picking: find particles in micrographs without picking by hand."""

from __future__ import annotations

import os
from dataclasses import replace

from vitreous.dataset.picking_list import PickingList, read_picking_list, require_ctf
from vitreous.distributed import devices
from vitreous.errors import VitreousError
from vitreous.io import read_header
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.context import Run
from vitreous.jobs.declare import Start
from vitreous.programs import autopick_report, manualpick, topaz
from vitreous.programs.autopick_methods import BlobPicking, TemplatePicking
from vitreous.programs.autopick_references import read_references
from vitreous.programs.autopick_settings import Extra, read_extra, require_few_maps
from vitreous.programs.autopick_work import Picking
from vitreous.programs.micrograph_list import Settings, output_stems, process

_PHASE = "Picking particles"


def run(options: AutoPick, run: Run) -> None:
    """Pick particles, train a network, or go on by hand."""
    if options.by_hand(Start(is_continue=run.is_continue)):
        manualpick.go_on(options.micrographs, "autopick", run)
    elif options.use_topaz:
        topaz.run(options, run)
    else:
        _pick(options, run)


def _pick(options: AutoPick, run: Run) -> None:
    """Pick by blobs or templates."""
    extra = read_extra(options)
    listed = read_picking_list(run.project / options.micrographs, options.pixel_size_A)
    require_few_maps(options, extra, len(listed.micrographs))
    work = _work(options, extra, listed, run)
    outcome = process(run, listed.micrographs, work, _settings(options, extra, work, run))
    if outcome.leads:
        autopick_report.report(run, outcome, listed, options)


def _work(options: AutoPick, extra: Extra, listed: PickingList, run: Run) -> Picking:
    """Choose the method and check what it needs, before the first micrograph."""
    names = [one.name for one in listed.micrographs]
    stems = dict(zip(names, output_stems(run.folder, names), strict=True))
    if run.is_continue and (options.write_fom_maps or options.read_fom_maps):
        for stem in stems.values() if run.rank == 0 else ():  # picked anew, as RELION does
            (run.project / f"{stem}_autopick.star").unlink(missing_ok=True)
    if options.use_log:
        return BlobPicking(run, listed, stems, options, extra)
    if options.templates_are_ctf_corrected and not extra.gaussian:
        require_ctf(listed.micrographs, options.micrographs)
    pixel_A = next((one.pixel_size_A for one in listed.micrographs if one.pixel_size_A > 0), 1.0)
    images, template_pixel_A = read_references(options, extra, pixel_A, run)
    work = TemplatePicking(run, listed, stems, options, extra, images, template_pixel_A)
    work.references(pixel_A)  # refuses masks and references that cannot work
    return work


def _settings(options: AutoPick, extra: Extra, work: Picking, run: Run) -> Settings:
    """Say where it runs and what it takes."""
    mine = devices.of_rank(
        options.gpu_ids,
        run.rank,
        run.n_ranks,
        use_gpu=options.use_gpu and options.use_templates,
        environ=os.environ,
    )
    shape = _first_shape(work.listed, run)
    pixels = shape[0] * shape[1]
    settings = Settings(
        _PHASE,
        "micrographs",
        unit_bytes=4 * pixels,
        batch_bytes=20 * pixels,
        devices=mine,
        do_at_most=extra.do_at_most,
    )
    if isinstance(work, TemplatePicking):
        settings = replace(settings, batch_bytes=20 * pixels + work.map_bytes(shape))
    return settings


def _first_shape(listed: PickingList, run: Run) -> tuple[int, int]:
    """Return the sides of the first micrograph that can be read."""
    for unit in listed.micrographs:
        try:
            shape = read_header(run.project / unit.name).shape
        except (VitreousError, OSError):
            continue
        return int(shape[-2]) // 2 * 2, int(shape[-1]) // 2 * 2
    return 0, 0  # each is told when its turn comes
