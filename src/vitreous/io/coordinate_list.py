"""The list that names the file of picks of each micrograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitreous.io.coordinates import TABLE
from vitreous.io.star import write_star
from vitreous.io.star_table import Table


def write_coordinate_list(path: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Write the table ``coordinate_files``.

    Parameters
    ----------
    path
        ``autopick.star``, ``manualpick.star``.
    pairs
        Micrographs and their files of picks, both from the project folder.
    """
    columns = {
        "rlnMicrographName": [name for name, _ in pairs],
        "rlnMicrographCoordinates": [file for _, file in pairs],
    }
    write_star(path, [Table.from_columns(TABLE, columns)])
