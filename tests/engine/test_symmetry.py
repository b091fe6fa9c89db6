"""Point groups against their laws and against RELION's printed operators."""

from __future__ import annotations

import re
import subprocess

import gemmi
import pytest
import torch
from torch import Tensor

from vitreous.engine import geometry, symmetry
from vitreous.errors import InputError

ORDERS = {
    "C1": 1, "C2": 2, "C3": 3, "C7": 7, "C12": 12, "CI": 2, "CS": 2, "C2V": 4, "C3V": 6,
    "C2H": 4, "C3H": 6, "S2": 2, "S4": 4, "S6": 6, "S8": 8, "D1": 2, "D2": 4, "D3": 6, "D7": 14,
    "D2V": 8, "D3V": 12, "D2H": 8, "D3H": 12, "T": 12, "TD": 24, "TH": 24, "O": 24, "OH": 48,
    "I": 60, "I1": 60, "I2": 60, "I3": 60, "I4": 60, "I5": 60, "IH": 120, "I1H": 120,
    "I3H": 120, "I4H": 120, "I5H": 120,
}  # fmt: skip


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Exact ones: the fast way of `cdist` loses half of the digits."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def contains(group: Tensor, matrix: Tensor) -> bool:
    return float((group - matrix).abs().amax((1, 2)).min()) < 1e-9


def axis(*direction: float, turns: float) -> Tensor:
    angle = torch.tensor([2 * torch.pi * turns], dtype=torch.float64)
    return geometry.rotation_about(torch.tensor([direction], dtype=torch.float64), angle)[0]


@pytest.mark.parametrize("name", ORDERS)
def test_operators_are_a_group(name: str) -> None:
    group = symmetry.operators(name)
    assert len(group) == ORDERS[name]
    identity = torch.eye(3, dtype=torch.float64)
    assert torch.equal(group[0], identity)
    torch.testing.assert_close(group @ group.transpose(1, 2), identity.expand_as(group))
    flat = group.flatten(1)
    assert int((torch.cdist(flat, flat) < 1e-6).sum()) == len(group), "each operator once"
    products = (group[:, None] @ group[None]).reshape(-1, 9)
    assert float(distances(products, flat).min(1).values.max()) < 1e-9, "closed"
    half = len(group) if not symmetry.parse(name).has_mirrors else len(group) // 2
    assert len(symmetry.rotations(name)) == half


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operators_come_in_the_type_asked_for(dtype: torch.dtype) -> None:
    assert symmetry.operators("O", dtype).dtype == dtype


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("C5", axis(0, 0, 1, turns=1 / 5)),
        ("D3", axis(1, 0, 0, turns=1 / 2)),
        ("T", axis(0, 0.816496581, 0.577350269, turns=1 / 2)),
        ("O", axis(1, 1, 1, turns=1 / 3)),
        ("I", axis(0, 0.356822090, 0.934172359, turns=1 / 3)),
        ("I1", axis(0.934172359, 0.356822090, 0, turns=1 / 3)),
        ("I1", axis(0.850650808, 0, -0.525731112, turns=1 / 5)),
        ("I2", axis(0.525731112, 0, 0.850650808, turns=1 / 5)),
        ("I3", axis(-0.525731112, 0, 0.850650808, turns=1 / 2)),
        ("I3", axis(-0.491123473, 0.356822090, 0.794654472, turns=1 / 3)),
        ("I4", axis(0.491123473, 0.356822090, 0.794654472, turns=1 / 3)),
        ("I4", axis(0.894427191, 0, 0.447213595, turns=1 / 5)),
        ("I5", axis(0, 0, 1, turns=1 / 3)),
        ("C3V", torch.diag(torch.tensor([1.0, -1.0, 1.0])).double()),
        ("D3V", torch.diag(torch.tensor([-1.0, 1.0, 1.0])).double()),
        ("D3H", torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()),
        ("CS", torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()),
        ("OH", -torch.eye(3, dtype=torch.float64)),
        ("S4", torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, -1]], dtype=torch.float64)),
    ],
)
def test_axes_stand_where_the_table_says(name: str, element: Tensor) -> None:
    group = symmetry.operators(name)
    assert float((group - element).abs().amax((1, 2)).min()) < 1e-7


def relion_operators(name: str) -> Tensor:
    command = ["relion_refine", "--sym", name, "--print_symmetry_ops", "--o", "/tmp/none"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    blocks = re.split(r"R\(\d+\)=", text)[1:]
    numbers = [re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", block.split("Euler")[0]) for block in blocks]
    return torch.tensor([[float(x) for x in block[:9]] for block in numbers]).double()


# RELION 3.1.3 has no I5; what it calls S4 and S8 holds the inversion, which these groups do not.
KNOWN_TO_RELION = [
    name for name in ORDERS if not name.startswith("I5") and name not in {"S4", "S8"}
]


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize("name", KNOWN_TO_RELION)
def test_relion_prints_the_same_operators(name: str) -> None:
    theirs, ours = relion_operators(name), symmetry.operators(name).flatten(1)
    assert len(theirs) == len(ours)
    distance = torch.cdist(ours, theirs)
    assert float(distance.min(1).values.max()) < 2e-5
    assert float(distance.min(0).values.max()) < 2e-5


@pytest.mark.parametrize("name", ["P 2 2 2", "P 4 3 2"])
def test_crystallography_knows_the_same_rotations(name: str) -> None:
    """gemmi's point parts of space groups with the same axes (D2 and O)."""
    operations = gemmi.find_spacegroup_by_name(name).operations().sym_ops
    theirs = torch.tensor([op.rot for op in operations], dtype=torch.float64) / gemmi.Op.DEN
    ours = symmetry.operators("D2" if name == "P 2 2 2" else "O")
    assert len(theirs) == len(ours)
    assert all(contains(ours, matrix) for matrix in theirs)


def test_names_are_read_in_any_case() -> None:
    assert str(symmetry.parse(" d7 ")) == "D7"
    assert str(symmetry.parse("i")) == "I2"
    assert str(symmetry.parse("c3v")) == "C3V"
    assert torch.equal(symmetry.operators("i"), symmetry.operators("I2"))


@pytest.mark.parametrize(
    "name", ["", "C", "C0", "D", "Q7", "C123", "TV", "I6", "OV", "CIH", "S3", "S", "I1V", "C-2"]
)
def test_what_is_no_point_group_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="Symmetry"):
        symmetry.parse(name)


def test_the_message_names_the_nearest_group() -> None:
    with pytest.raises(InputError, match=r"Did you mean D7\?"):
        symmetry.parse("Q7")


def test_symmetry_files() -> None:
    text = "# two axes\nrot_axis 4 0 0 1\nrot_axis 2 1 0 0\n\n"
    group = symmetry.generate(symmetry.generators_from_text(text))
    theirs = symmetry.operators("D4")
    assert len(group) == 8
    assert all(contains(theirs, matrix) for matrix in group)
    mirrors = symmetry.generators_from_text("mirror_plane 0 1 0\ninversion")
    assert len(symmetry.generate(mirrors)) == 4


@pytest.mark.parametrize(
    "line", ["rot_axis 4 0 0", "rot_axis x 0 0 1", "spin 2", "rot_axis 2 0 0 0"]
)
def test_a_bad_symmetry_file_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(InputError, match=r"my\.sym, line 2: found"):
        symmetry.generators_from_text(f"inversion\n{line}", "my.sym")


def test_axes_that_do_not_fit_together_are_refused() -> None:
    text = "rot_axis 5 0 0 1\nrot_axis 5 0 1 0.3"
    with pytest.raises(InputError, match="do not fit together"):
        symmetry.generate(symmetry.generators_from_text(text))


def cluster(group: Tensor) -> Tensor:
    """Points and all their mates."""
    points = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 4.0, 0.5], [0.3, 0.2, 5.0]]).double()
    return (points @ group.transpose(1, 2)).reshape(-1, 3)


@pytest.mark.parametrize("name", ["C3", "D2", "T", "O", "I1", "I5", "C3V", "S4", "CI", "TD", "IH"])
def test_a_symmetric_object_projects_alike_from_all_mates(name: str) -> None:
    group = symmetry.operators(name)
    points = cluster(group)
    poses = geometry.random_rotations(3, torch.Generator().manual_seed(2), torch.float64)
    mates = symmetry.mates(poses, group)
    assert mates.shape == (3, len(group), 3, 3)
    torch.testing.assert_close(torch.linalg.det(mates), torch.ones(3, len(group)).double())
    for pose, copies in zip(poses, mates, strict=True):
        seen = (points @ pose.T)[:, :2]
        for copy in copies:
            distance = distances((points @ copy.T)[:, :2], seen)
            assert float(distance.min(1).values.max()) < 1e-9


def test_mates_stand_in_the_order_of_the_operators() -> None:
    poses = geometry.random_rotations(2, torch.Generator().manual_seed(3), torch.float64)
    for copies, operator in zip(
        symmetry.mates(poses, symmetry.operators("D3")).unbind(1),
        symmetry.operators("D3"),
        strict=True,
    ):
        torch.testing.assert_close(copies, poses @ operator)


def test_view_rotations_of_mirror_groups() -> None:
    """C3V looks at directions as D3 does, TD as O; the inversion leaves directions alone."""
    assert [len(symmetry.view_rotations(symmetry.operators(name))) for name in
            ("C3V", "TD", "CI", "CS", "OH", "S4", "D3")] == [6, 24, 1, 2, 24, 4, 6]  # fmt: skip


def test_no_poses_have_no_mates() -> None:
    nothing = torch.zeros(0, 3, 3, dtype=torch.float64)
    assert symmetry.mates(nothing, symmetry.operators("D2")).shape == (0, 4, 3, 3)


def test_a_mirror_plane_of_a_file_changes_the_hand() -> None:
    found = symmetry.generators_from_text("mirror_plane 0 2 0  # normal on y")
    torch.testing.assert_close(found[0], torch.diag(torch.tensor([1.0, -1.0, 1.0]).double()))
