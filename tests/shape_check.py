"""The run-time checker behind `--jaxtyping-packages`."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# A whole number is good wherever a float is asked for, as for the static type checker.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
