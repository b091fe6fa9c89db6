"""Subtraction from a multi-body refinement: every body at its own pose, one of them kept."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

import requirements
from programs.jobs_made import run_job
from programs.subtract_project import BOX, OPTIMISER, PIXEL_A, Wanted, images_of, make
from vitreous.dataset.bodies import read_bodies
from vitreous.dataset.subtraction import views_of
from vitreous.engine import bodies, subtraction
from vitreous.engine.geometry import matrix_from_euler
from vitreous.errors import FormatError, InputError, MissingFileError, OptionError
from vitreous.io import Table, read_images, read_star, write_mrc, write_star, write_volume

N = 12
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
FOLDER = "Refine3D/job001/run_it003"
JOINT = "Subtract/job001/particles_subtracted.star"
MOVED = np.array([[5.0, 82.0, 9.0], [-4.0, 96.0, 3.0]])


def columns(table, labels):
    return np.stack([np.asarray(table[label], float) for label in labels], 1)


def refinement(
    folder,
    angles=MOVED,
    offsets_A=((3.3, -2.0), (-1.5, 4.0)),
    *,
    radius_px=7,
    whole_pixels=False,
    split_halves=False,
):
    """Write a multi-body refinement: two balls with a part each, all particles moved alike.

    `whole_pixels`: the middle of the first body lies on a pixel in every image.
    `split_halves`: each half has maps of its own.
    """
    known = make(folder, Wanted(n=N, split_halves=split_halves))
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    centres = []
    for number, part in enumerate((known.kept, known.removed), start=1):
        middle = np.asarray(part.centres_px).mean(0)
        distance = np.sqrt(sum((g - m) ** 2 for g, m in zip((x, y, z), middle, strict=True)))
        mask = np.clip((radius_px - distance) / 3, 0, 1).astype(np.float32)
        write_volume(folder / f"body{number}.mrc", mask, PIXEL_A)
        centres.append(bodies.centre(torch.from_numpy(mask)).numpy())
    listed = {
        "rlnBodyMaskName": ["body1.mrc", "body2.mrc"],
        "rlnBodyRotateRelativeTo": [2, 1],
        "rlnBodySigmaAngles": [10.0, 10.0],
        "rlnBodySigmaOffset": [2.0, 2.0],
    }
    write_star(folder / "bodies.star", [Table.from_columns("", listed)])
    path = folder / OPTIMISER
    text = path.read_text()
    (line,) = [one for one in text.splitlines() if one.startswith("_rlnBodyStarFile")]
    path.write_text(text.replace(line, "_rlnBodyStarFile bodies.star"))
    models = sorted(folder.glob(f"{FOLDER}_*model.star"))
    assert len(models) == 1 + split_halves
    for model in models:
        _write_model(model)
    star = read_star(folder / f"{FOLDER}_data.star")
    particles = star["particles"]
    if whole_pixels:
        whole = matrix_from_euler(torch.from_numpy(columns(particles, ANGLES))).double().numpy()
        at = PIXEL_A * ((whole @ centres[0])[:, :2] + [1, -2])
        particles = particles.with_columns(dict(zip(ORIGINS, at.T, strict=True)))
    moves = [
        Table.from_columns(
            f"images_body_{number}",
            dict(zip((*ANGLES, *ORIGINS), np.tile([*turn, *offset], (N, 1)).T, strict=True)),
        )
        for number, (turn, offset) in enumerate(zip(angles, offsets_A, strict=True), start=1)
    ]
    write_star(folder / f"{FOLDER}_data.star", [star["optics"], particles, *moves])
    return known


def _write_model(path):
    model = read_star(path)
    tables = []
    for name, table in model.items():
        if name == "model_general":
            tables.append(replace(table.with_columns({"rlnNrBodies": [2]}), is_list=True))
        elif name == "model_classes":
            tables.append(replace(table.select(np.array([0, 0])), name="model_bodies"))
        elif name == "model_class_1":
            tables += [replace(table, name=f"model_body_{number}") for number in (1, 2)]
        else:
            tables.append(table)
    write_star(path, tables)


def run(folder, **options):
    values = {"optimiser": OPTIMISER, "mask": "body1.mrc", "center_on_mask": False} | options
    return run_job(folder, "subtract", **values)


def pictures(folder, star=JOINT):
    rows = read_star(folder / star)["particles"]
    order = np.argsort(rows["rlnImageOriginalName"].astype(str))
    rows = rows.select(order)
    names = [str(name).replace("@", f"@{folder}/") for name in rows["rlnImageName"]]
    return rows, torch.from_numpy(read_images(names))


def theirs(folder, *words, split_halves=False):
    requirements.need("relion")
    program = ["relion_particle_subtract"]
    if split_halves:  # RELION refuses one process
        program = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2",
                   "relion_particle_subtract_mpi"]  # fmt: skip
    command = [*program, "--i", OPTIMISER, "--mask", "body1.mrc", "--o", "R/"]
    done = subprocess.run(
        [*command, *words], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return pictures(folder, "R/particles_subtracted.star")


@pytest.mark.parametrize(
    ("on_mask", "radius_px", "split_halves"),
    [(False, 7, False), (True, 7, False), (False, 10, False), (False, 7, True)],
)
def test_poses_origins_and_images_are_those_of_relion(on_mask, radius_px, split_halves, tmp_path):
    """RELION drops what the middle of the kept body is off a pixel; here it lies on one.

    Balls of 10 voxels overlap: density there is that of the body that is kept.
    """
    refinement(tmp_path, whole_pixels=True, radius_px=radius_px, split_halves=split_halves)
    words = ["--recenter_on_mask"] if on_mask else []
    rows, wanted = theirs(tmp_path, *words, split_halves=split_halves)
    run(tmp_path, center_on_mask=on_mask)
    ours, found = pictures(tmp_path)
    turned = [
        matrix_from_euler(torch.from_numpy(columns(one, ANGLES))).double() for one in (ours, rows)
    ]
    torch.testing.assert_close(*turned, rtol=0, atol=1e-5)
    assert columns(ours, ORIGINS) == pytest.approx(columns(rows, ORIGINS), abs=1e-3)
    assert float((found - wanted).abs().max() / wanted.std()) < 0.005


def test_one_body_is_left_of_images_whose_bodies_moved(tmp_path):
    """Known truth, at shifts between pixels: each part is seen at the pose of its own body."""
    known = refinement(tmp_path, radius_px=9)
    bodies_read = read_bodies(OPTIMISER, tmp_path, tmp_path)
    seen = [bodies_read.seen(number) for number in (0, 1)]
    kept, removed = (
        images_of(one, part, Wanted(n=N))
        for one, part in zip(seen, (known.kept, known.removed), strict=True)
    )
    for file in {str(name).split("@")[1] for name in seen[0].table["rlnImageName"]}:
        rows = [n for n, name in enumerate(seen[0].table["rlnImageName"]) if file in str(name)]
        places = [int(str(seen[0].table["rlnImageName"][n]).split("@")[0]) - 1 for n in rows]
        stack = torch.zeros(len(rows), BOX, BOX)
        stack[places] = (kept + removed)[rows].float()
        write_mrc(tmp_path / file, stack.numpy(), PIXEL_A)
    job = run(tmp_path)
    assert "Body 1 of 2 is kept" in "\n".join(job.lines)
    table = read_star(tmp_path / JOINT)["particles"]
    names = [str(name).replace("@", f"@{tmp_path}/") for name in table["rlnImageName"]]
    left = torch.from_numpy(read_images(names))
    views, _ = views_of(seen[0], bodies_read.found, source=OPTIMISER)
    wanted, _ = subtraction.recentred(
        kept.float() * views.grey[:, None, None].float(), views.shift_px
    )
    both, _ = subtraction.recentred(
        (kept + removed).float() * views.grey[:, None, None].float(), views.shift_px
    )
    error = float((left - wanted).square().mean().sqrt())
    assert error < 0.1 * float((both - wanted).square().mean().sqrt())
    assert columns(table, ANGLES) == pytest.approx(columns(seen[0].table, ANGLES), abs=1e-5)


def test_a_body_at_rest_moves_with_the_whole():
    whole = matrix_from_euler(torch.tensor([[10.0, 40.0, 70.0], [200.0, 130.0, 5.0]]))
    rest = torch.tensor([bodies.REST_DEG]).expand(2, 3)
    for partner in ([-3.0, 1.0, 2.0], [9.0, 0.0, 0.0], [0.0, 0.0, -4.0]):
        frame = bodies.frame(torch.zeros(3).double(), torch.tensor(partner).double())
        torch.testing.assert_close(frame @ frame.T, torch.eye(3).double())
        assert float(torch.linalg.det(frame)) == pytest.approx(1)
        found = bodies.poses(whole, rest, frame)
        torch.testing.assert_close(found, whole.double(), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="no axis between them"):
        bodies.frame(torch.ones(3), torch.ones(3))


def test_what_bodies_do_not_go_with_is_refused(tmp_path):
    refinement(tmp_path)
    with pytest.raises(OptionError, match=r"mask.* which body of bodies.star is kept"):
        run(tmp_path, mask="")
    with pytest.raises(OptionError, match="only the particles of the refinement have poses"):
        run(tmp_path, use_other_particles=True, particles=f"{FOLDER}_data.star")
    for flag in ("--ssnr", "--ignore_class"):
        with pytest.raises(InputError, match=f"{flag} does not go with .* multi-body"):
            run(tmp_path, other_arguments=flag)


def test_files_that_do_not_say_enough_are_refused(tmp_path):
    refinement(tmp_path)
    data, listed = tmp_path / f"{FOLDER}_data.star", tmp_path / "bodies.star"
    star, text = read_star(data), listed.read_text()
    write_star(data, [star["optics"], star["particles"], star["images_body_1"]])
    with pytest.raises(FormatError, match="there is no data_images_body_2"):
        run(tmp_path)
    write_star(data, list(star.values()))
    table = read_star(listed).first
    write_star(listed, [table.with_columns({"rlnBodyRotateRelativeTo": [2, 2]})])
    with pytest.raises(FormatError, match="row 2: rlnBodyRotateRelativeTo is 2; wanted the number"):
        run(tmp_path)
    write_star(listed, [table.without("rlnBodyRotateRelativeTo")])
    with pytest.raises(FormatError, match="about a direction or about the middle"):
        run(tmp_path)
    listed.write_text(text)
    (tmp_path / "body2.mrc").unlink()
    with pytest.raises(MissingFileError, match=r"body2\.mrc: this mask, which bodies.star names"):
        run(tmp_path)
