"""References of a template-matching job: class averages, projections of a map, or a blob."""

from __future__ import annotations

import torch
from torch import Tensor

from vitreous.engine.picking import templates
from vitreous.errors import FormatError, InputError
from vitreous.io import read_star, read_volume
from vitreous.io.image_refs import parse_ref
from vitreous.io.images import ImageStack
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.common import SAMPLING
from vitreous.jobs.context import Run
from vitreous.programs.autopick_settings import Extra

_LABELS = ("rlnReferenceImage", "rlnImageName")


def read_references(
    options: AutoPick, extra: Extra, micrograph_pixel_A: float, run: Run
) -> tuple[Tensor, float]:
    """Read the references, or make them.

    Returns
    -------
    Tensor, float
        ``n y x`` and their pixel size in ångström.
    """
    if extra.gaussian:
        blob = templates.gaussian(
            extra.particle_diameter_A, micrograph_pixel_A, extra.gaussian_peak
        )
        return blob, micrograph_pixel_A
    if options.use_map:
        images, pixel_A = _projections(options, run)
        run.say(f"{len(images)} projections of {options.map}")
    else:
        images, pixel_A = _averages(options.templates, run)
        run.say(f"{len(images)} references in {options.templates}")
    given = options.template_pixel_size_A
    pixel_A = given if given > 0 else pixel_A
    if not pixel_A > 0:
        run.warn(
            "The references do not tell their pixel size; that of the micrographs is taken. Give "
            "it as “Pixel size of the templates” where it is another."
        )
        pixel_A = micrograph_pixel_A
    return images, pixel_A


def _projections(options: AutoPick, run: Run) -> tuple[Tensor, float]:
    volume = read_volume(run.project / options.map)
    data = torch.from_numpy(volume.data).to(torch.float32)
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise InputError(f"{options.map}: a map must be a cube; its shape is {tuple(data.shape)}")
    order = SAMPLING.index(options.template_sampling) + 1
    return templates.views(data, order, options.point_group), volume.pixel_size_A


def _averages(path: str, run: Run) -> tuple[Tensor, float]:
    names = _names(path, run)
    images: list[Tensor] = []
    pixel_A = 0.0
    for name in names:
        ref = parse_ref(name)
        with ImageStack(run.project / ref.path) as stack:
            numbers = [ref.index0] if ref.index0 is not None else list(range(len(stack)))
            images += list(torch.from_numpy(stack.read(numbers)))
            pixel_A = pixel_A or stack.pixel_size_A
    if not images:
        raise InputError(f"{path}: it lists no references. Select at least one class average.")
    return templates.stack_of_one_size(images), pixel_A


def _names(path: str, run: Run) -> list[str]:
    if not path.endswith(".star"):
        return [path]
    for table in read_star(run.project / path).tables:
        for label in _LABELS:
            if label in table:
                return [str(name) for name in table[label]]
    raise FormatError(f"{path}: no table has a column {' or '.join(_LABELS)}, so no references")
