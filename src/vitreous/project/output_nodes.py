"""`RELION_OUTPUT_NODES.star`: output files that a job found out while it ran.

RELION 3.1 names the type by number, 4 and 5 by label, and each looks at its own column only.
Either column is read here in every project (pipeline.md section 4).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vitreous.errors import FormatError
from vitreous.io.atomic import write_text
from vitreous.io.star import Star, format_star, read_star
from vitreous.io.star_table import Table
from vitreous.project import node_types
from vitreous.project.pipeline import Form, Node

FILE: Final = "RELION_OUTPUT_NODES.star"
_BLOCK: Final = "output_nodes"
_NAME: Final = "rlnPipeLineNodeName"
_NUMBER: Final = "rlnPipeLineNodeType"
_LABEL: Final = "rlnPipeLineNodeTypeLabel"
_DEPTH: Final = "rlnPipeLineNodeTypeLabelDepth"


def read_output_nodes(job_dir: Path) -> list[Node]:
    """Return the nodes that the job listed, none where it listed none.

    Raises
    ------
    FormatError
        The file is there and cannot be understood; the message says what is wanted.
    """
    path = job_dir / FILE
    if not path.exists():
        return []
    star = read_star(path)
    table = star.get(_BLOCK)
    if table is None or _NAME not in table or not (_LABEL in table or _NUMBER in table):
        raise FormatError(
            f"{path}: wanted is a block data_{_BLOCK} with the columns _{_NAME} and _{_LABEL} "
            f"(or _{_NUMBER} with the numbers of RELION 3.1); found are the blocks "
            f"{', '.join(star) or 'none'}. The outputs it lists were not added."
        )
    names = table[_NAME].tolist()
    if _LABEL in table:
        labels = [node_types.to_form(str(label), "5.0") for label in table[_LABEL].tolist()]
    else:
        labels = [node_types.from_number(int(number)) for number in table[_NUMBER].tolist()]
    depths = table[_DEPTH].tolist() if _DEPTH in table else [1] * len(names)
    return [Node(n, t, int(d)) for n, t, d in zip(names, labels, depths, strict=True)]


def write_output_nodes(job_dir: Path, nodes: list[Node], form: Form) -> None:
    """Write the list; number and label both, so that every RELION finds its column."""
    columns = {
        _NAME: [node.name for node in nodes],
        _NUMBER: [node_types.to_number(node.type_label) for node in nodes],
        _LABEL: [node_types.to_form(node.type_label, form) for node in nodes],
    }
    table = Table.from_columns(_BLOCK, columns)
    write_text(
        job_dir / FILE, format_star(Star([table], version=50001 if form == "5.0" else 30001))
    )
