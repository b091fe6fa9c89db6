"""The columns of a STAR file, read from its head alone: cheap enough to check a form with."""

from __future__ import annotations

from pathlib import Path


def main_labels(path: Path) -> tuple[str, ...]:
    """Return the labels of the first loop that does not describe optics groups.

    Parameters
    ----------
    path
        STAR file of any size; reading stops at the first row of that table.

    Returns
    -------
    tuple of str
        Without the leading underscore; empty where there is no such loop, or no such file.
    """
    labels: list[str] = []
    is_optics = in_loop = False
    try:
        with path.open("rb") as stream:
            for raw in stream:
                line = raw.strip()
                if line.startswith(b"data_"):
                    is_optics, in_loop, labels = line == b"data_optics", False, []
                elif line.lower() == b"loop_":
                    in_loop = True
                elif line.startswith(b"_") and in_loop:
                    labels.append(line.split()[0][1:].decode(errors="replace"))
                elif line and not line.startswith(b"#") and labels and not is_optics:
                    break
    except OSError:
        return ()
    return () if is_optics else tuple(labels)
