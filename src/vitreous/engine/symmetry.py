"""Point groups: their operators, and what they do to poses (formats.md section 6).

Axes: Cn has n on z; Dn n on z and 2 on x; T 3 on z and 2 on (0, sqrt 2, 1); O 4 on z and 3 on
(1, 1, 1); I2 (also called I) 2 on x, y and z, with 5 on (1, 0, p), p the golden ratio; I1 the
same turned about y by 90 degrees; I3 and I4 have 5 on z and 2 on (-1, 0, p) and (1, 0, p). I5,
which RELION names and does not have, is given the third kind of axis on z: 3 on z and 2 on
(0, 1, p^2). Mirrors: CnV has its normal on y, CnH and DnH on z, DnV and Td on x; Th, Oh and the
icosahedral groups ending in H add the inversion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import geometry
from vitreous.errors import InputError

GOLDEN = (1 + 5**0.5) / 2
MOST_OPERATORS = 400

_PATTERN = re.compile(r"(?:([CDS])(\d{1,2})|(C[IS])|([TO])|(I[1-5]?))([VDH]?)")
_EXAMPLES = "C1 C2 C3 C4 C2V C2H CI CS S4 D2 D3 D7 D2V D2H T TD TH O OH I I1 I2 I3 I4 I5 IH I1H"


@dataclass(frozen=True)
class PointGroup:
    """A point group by its name.

    Parameters
    ----------
    family
        ``C D S CI CS T O I1 ... I5``.
    n
        Order of the main axis; 0 where the family says it all.
    suffix
        ``V``, ``H``, ``D`` or nothing.
    """

    family: str
    n: int = 0
    suffix: str = ""

    def __str__(self) -> str:
        """Return the name as RELION writes it."""
        return f"{self.family}{self.n or ''}{self.suffix}"

    @property
    def has_mirrors(self) -> bool:
        """Whether some operators change the hand."""
        return bool(self.suffix) or self.family in {"CI", "CS", "S"}


def parse(name: str) -> PointGroup:
    """Read the name of a point group, in any case.

    Raises
    ------
    InputError
        It is no point group; the message names the nearest.
    """
    found = _PATTERN.fullmatch(name.strip().upper())
    if found is None:
        raise InputError(_unknown(name))
    cyclic, order, simple, cubic, icosahedral, suffix = found.groups()
    family = cyclic or simple or cubic or icosahedral
    group = PointGroup("I2" if family == "I" else family, int(order or 0), suffix)
    allowed = {"C": "VH", "D": "VH", "S": "", "T": "DH", "O": "H", "I": "H"}
    suffixes = "" if simple else allowed[family[0]]
    if (suffix and suffix not in suffixes) or (cyclic and group.n == 0):
        raise InputError(_unknown(name))
    if family == "S" and group.n % 2:
        message = f"Symmetry {name!r}: the order of a rotoreflection group must be even"
        raise InputError(f"{message}, as in S{group.n + 1}.")
    return group


def operators(name: str, dtype: torch.dtype = torch.float64) -> Float[Tensor, "g 3 3"]:
    """Return all operators of a point group, the identity first.

    Parameters
    ----------
    name
        Such as ``C4``, ``D7``, ``I1``, ``OH``.
    dtype
        Type of the matrices.

    Returns
    -------
    Tensor
        Orthonormal matrices that act on column vectors; those with determinant -1 are mirrors,
        rotoreflections and the inversion.
    """
    return generate(_generators(parse(name))).to(dtype)


def rotations(name: str, dtype: torch.dtype = torch.float64) -> Float[Tensor, "g 3 3"]:
    """Return the operators of a point group that keep the hand."""
    matrices = operators(name, dtype)
    return matrices[torch.linalg.det(matrices) > 0]


def generate(generators: Float[Tensor, "m 3 3"]) -> Float[Tensor, "g 3 3"]:
    """Multiply generators until nothing new appears.

    Raises
    ------
    InputError
        They make no finite group of fewer than 400 operators.
    """
    group = torch.eye(3, dtype=torch.float64)[None]
    newest = group
    while len(newest):
        products = (newest[:, None] @ generators[None]).reshape(-1, 3, 3)
        newest = _new_ones(products, group)
        group = torch.cat([group, newest])
        if len(group) > MOST_OPERATORS:
            message = f"The symmetry elements given make more than {MOST_OPERATORS} operators"
            raise InputError(f"{message}: their axes do not fit together.")
    return group


def generators_from_text(text: str, source: str = "symmetry file") -> Float[Tensor, "m 3 3"]:
    """Read the symmetry elements of a symmetry file.

    Parameters
    ----------
    text
        Lines ``rot_axis n x y z``, ``mirror_plane x y z`` and ``inversion``; ``#`` begins a
        comment.
    source
        What to call it in messages.
    """
    elements = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            elements.append(_element(words))
        except (ValueError, IndexError):
            wanted = "'rot_axis n x y z', 'mirror_plane x y z' or 'inversion'"
            message = f"{source}, line {number}: found {line.strip()!r}, wanted {wanted}."
            raise InputError(message) from None
    return torch.stack(elements) if elements else torch.zeros(0, 3, 3, dtype=torch.float64)


def mates(
    poses: Float[Tensor, "n 3 3"], matrices: Float[Tensor, "g 3 3"]
) -> Float[Tensor, "n g 3 3"]:
    """Return the poses that see a symmetric object exactly as the given ones do.

    A rotation R turns the pose A into A R. A mirror M makes A M change its hand; a projection
    does not notice when its direction is then reversed, which gives the hand back.

    Parameters
    ----------
    poses
        Rotations.
    matrices
        Operators of the object.

    Returns
    -------
    Tensor
        Rotations, in the order of the operators.
    """
    products = poses[:, None] @ matrices[None]
    sign = torch.linalg.det(matrices).sign()
    ones = torch.ones_like(sign)
    return torch.stack([ones, ones, sign], -1)[None, :, :, None] * products


def view_rotations(matrices: Float[Tensor, "g 3 3"]) -> Float[Tensor, "h 3 3"]:
    """Return what the operators do to viewing directions, each once.

    Rotations do as they are; a mirror M acts as the rotation -M, see `mates`.
    """
    turned = matrices * torch.linalg.det(matrices).sign()[:, None, None]
    return _new_ones(turned, turned[:0])


def _new_ones(candidates: Tensor, known: Tensor) -> Tensor:
    """Return the candidates that differ from what is known and from each other."""
    everything = torch.cat([known, candidates]).flatten(1)
    same = torch.cdist(everything, everything) < 1e-6
    first = same.to(torch.uint8).argmax(1) == torch.arange(len(everything))
    return candidates[first[len(known) :]]


def _generators(group: PointGroup) -> Tensor:
    elements = _axes(group)
    if group.suffix == "V":
        elements.append(_mirror(0.0, 1.0, 0.0) if group.family == "C" else _mirror(1.0, 0.0, 0.0))
    elif group.suffix == "D":
        elements.append(_mirror(1.0, 0.0, 0.0))
    elif group.suffix == "H":
        cyclic = group.family in {"C", "D"}
        elements.append(_mirror(0.0, 0.0, 1.0) if cyclic else -torch.eye(3, dtype=torch.float64))
    return torch.stack(elements)


def _axes(group: PointGroup) -> list[Tensor]:
    """Return generators of the group without the mirrors of its suffix."""
    family, p = group.family, GOLDEN
    if family == "S":
        return [_axis(group.n, 0.0, 0.0, 1.0) @ _mirror(0.0, 0.0, 1.0)]
    named = {
        "CI": [-torch.eye(3, dtype=torch.float64)],
        "CS": [_mirror(0.0, 0.0, 1.0)],
        "C": [_axis(max(group.n, 1), 0.0, 0.0, 1.0)],
        "D": [_axis(max(group.n, 1), 0.0, 0.0, 1.0), _axis(2, 1.0, 0.0, 0.0)],
        "T": [_axis(3, 0.0, 0.0, 1.0), _axis(2, 0.0, 2**0.5, 1.0)],
        "O": [_axis(4, 0.0, 0.0, 1.0), _axis(3, 1.0, 1.0, 1.0)],
        "I1": [_axis(2, 1.0, 0.0, 0.0), _axis(5, p, 0.0, -1.0), _axis(3, p * p, 1.0, 0.0)],
        "I2": [_axis(2, 0.0, 0.0, 1.0), _axis(5, 1.0, 0.0, p), _axis(3, 0.0, 1.0, p * p)],
        "I3": [_axis(5, 0.0, 0.0, 1.0), _axis(2, -1.0, 0.0, p)],
        "I4": [_axis(5, 0.0, 0.0, 1.0), _axis(2, 1.0, 0.0, p)],
        "I5": [_axis(3, 0.0, 0.0, 1.0), _axis(2, 0.0, 1.0, p * p)],
    }
    return list(named[family])


def _axis(n: int, x: float, y: float, z: float) -> Tensor:
    direction = torch.tensor([[x, y, z]], dtype=torch.float64)
    angle = torch.tensor([2 * torch.pi / n], dtype=torch.float64)
    return geometry.rotation_about(direction, angle)[0]


def _mirror(x: float, y: float, z: float) -> Tensor:
    normal = torch.tensor([x, y, z], dtype=torch.float64)
    normal = normal / normal.norm()
    return torch.eye(3, dtype=torch.float64) - 2 * torch.outer(normal, normal)


def _element(words: list[str]) -> Tensor:
    kind, numbers = words[0], [float(word) for word in words[1:]]
    if kind == "rot_axis" and len(numbers) == 4 and numbers[0] >= 1 and any(numbers[1:]):
        return _axis(int(numbers[0]), *numbers[1:])
    if kind == "mirror_plane" and len(numbers) == 3 and any(numbers):
        return _mirror(*numbers)
    if kind == "inversion" and not numbers:
        return -torch.eye(3, dtype=torch.float64)
    raise ValueError(kind)


def _unknown(name: str) -> str:
    near = get_close_matches(name.strip().upper(), _EXAMPLES.split(), n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]}?" if near else ""
    kinds = "Cn, CnV, CnH, CI, CS, S2n, Dn, DnV, DnH, T, TD, TH, O, OH, I1 to I5 and IH to I5H"
    return f"Symmetry {name!r} is not a point group.{meant} Known are {kinds}."
