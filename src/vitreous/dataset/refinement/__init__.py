"""Files and options of a refinement: where RELION's names meet the engine's records."""

from vitreous.dataset.refinement.checks import check_continued, check_start, reference_images
from vitreous.dataset.refinement.data_star import (
    ScaleGroups,
    assignments_of,
    scale_groups,
    with_assignments,
)
from vitreous.dataset.refinement.engine_data import Stacks, data_of, with_images_in
from vitreous.dataset.refinement.flags import command_line, parse
from vitreous.dataset.refinement.in_memory import preread, preread_bytes
from vitreous.dataset.refinement.job_settings import (
    continued_settings,
    continued_state,
    settings_of,
)
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.names import Names, last_iteration
from vitreous.dataset.refinement.reading import Iteration, read_iteration
from vitreous.dataset.refinement.scratch import ScratchCopy, on_scratch
from vitreous.dataset.refinement.store import Images, open_images
from vitreous.dataset.refinement.writing import write_final, write_iteration

__all__ = [
    "Images",
    "Iteration",
    "Machine",
    "Names",
    "ScaleGroups",
    "ScratchCopy",
    "Stacks",
    "assignments_of",
    "check_continued",
    "check_start",
    "command_line",
    "continued_settings",
    "continued_state",
    "data_of",
    "last_iteration",
    "on_scratch",
    "open_images",
    "parse",
    "preread",
    "preread_bytes",
    "read_iteration",
    "reference_images",
    "scale_groups",
    "settings_of",
    "with_assignments",
    "with_images_in",
    "write_final",
    "write_iteration",
]
