"""Settings of RELION 3.0 and older: ``run.job``, where the text on screen is the key.

``job_type == 8``, ``is_continue == false``, then lines such as ``Number of classes: == 50``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vitreous.errors import FormatError
from vitreous.jobs.job_type import JobType

_SEPARATOR = " == "
_RENAMED = {"Perform beamtilt estimation?": "Estimate beamtilt?"}


def read(path: Path) -> tuple[int, bool, dict[str, str]]:
    """Read a ``run.job``.

    Returns
    -------
    int
        Number of the job type.
    bool
        Whether the job is a continued one.
    dict of str to str
        Text by the label in RELION's window.
    """
    texts: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        label, found, value = line.partition(_SEPARATOR.rstrip())
        if found:
            texts[label.strip()] = value.strip()
    try:
        number = int(texts.pop("job_type"))
        is_continue = texts.pop("is_continue") == "true"
    except (KeyError, ValueError):
        raise FormatError(
            f"{path}: its first lines should be 'job_type == NUMBER' and 'is_continue == false'"
        ) from None
    return number, is_continue, texts


def by_key(job_type: JobType, texts: Mapping[str, str]) -> dict[str, str]:
    """Replace labels by keys; a label of no option of the job type stays as it is."""
    keys = {spec.relion_label.strip(): spec.key for spec in job_type.options.values()}
    return {_key(keys, _RENAMED.get(label, label)): text for label, text in texts.items()}


def _key(keys: Mapping[str, str], label: str) -> str:
    """RELION compares beginnings: the longest label that the line begins with is meant."""
    if label in keys:
        return keys[label]
    begun = [known for known in keys if label.startswith(known)]
    return keys[max(begun, key=len)] if begun else label
