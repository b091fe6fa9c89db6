"""What cannot work is refused before the first iteration, all of it at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dataset.refinement.conftest import BOX, PIXEL_A, N, particles_in
from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement import check_continued, check_start, reference_images
from vitreous.engine.refinement.settings import (
    Algorithm,
    Helix,
    Image,
    Searching,
    Settings,
    Solvent,
)
from vitreous.errors import InputError
from vitreous.io import Table, write_star, write_volume


@pytest.fixture
def project(tmp_path):
    ball = np.zeros((BOX,) * 3, np.float32)
    ball[4:12, 4:12, 4:12] = 1
    write_volume(tmp_path / "ref.mrc", ball, PIXEL_A)
    write_volume(tmp_path / "mask.mrc", ball, PIXEL_A)
    return tmp_path


FINE = Settings(
    references="ref.mrc",
    image=Image(correct_ctf=True),
    solvent=Solvent(diameter_A=40.0, mask="mask.mrc"),
    split_halves=True,
    auto_refine=True,
)


def told(settings, particles, folder):
    with pytest.raises(InputError) as caught:
        check_start(settings, particles, folder=folder)
    return str(caught.value).splitlines()


def columns(particles, **changed):
    return replace(particles, table=particles.table.with_columns(changed))


def without(particles, *labels):
    return replace(particles, table=particles.table.without(*labels))


def test_what_is_fine_passes(project):
    check_start(FINE, particles_in(project), folder=project)


def test_all_problems_are_told_together(project):
    write_volume(project / "ref.mrc", np.zeros((BOX,) * 3, np.float32), 2 * PIXEL_A)
    write_volume(project / "mask.mrc", np.full((8, 8, 8), 2.5, np.float32), PIXEL_A)
    particles = without(columns(particles_in(project), rlnRandomSubset=2), "rlnDefocusU")
    solvent = replace(FINE.solvent, diameter_A=-1.0)
    bad = replace(FINE, solvent=solvent, n_classes=2, searching=Searching(point_group="X9"))
    lines = told(bad, particles, project)
    for part in (
        "The mask diameter is not given",
        "Symmetry: ",
        "Auto-refinement has one class, not 2",
        "No particles are left in half 1: rlnRandomSubset puts all 24 into the other",
        "the particles have no rlnDefocusU. Extract them",
        "ref.mrc: the pixel size is 7.4 Å, that of the particles 3.7 Å. Allow the reference",
        "ref.mrc: the reference is empty, all its values are 0",
        "mask.mrc: the solvent mask has 8 x 8 x 8 pixels, the box is 16",
        "mask.mrc: the solvent mask goes from 2.5 to 2.5; 0 to 1 is wanted",
    ):
        assert sum(part in line for line in lines) == 1, (part, lines)
    assert len(lines) == 9


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ((12, 12, 12), "the box is 12 pixels, that of the particles 16"),
        ((16, 16, 12), "12 x 16 x 16 pixels; all sides must be equal and even"),
        ((15, 15, 15), "15 x 15 x 15 pixels; all sides must be equal and even"),
        ((16, 16), "this is an average; maps are wanted"),
    ],
)
def test_a_reference_of_another_shape(shape, part, project):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    write_volume(project / "ref.mrc", values, PIXEL_A)
    (line,) = told(FINE, particles_in(project), project)
    assert part in line


def test_a_reference_that_may_be_resized_may_differ(project):
    values = np.random.default_rng(0).normal(size=(12,) * 3).astype(np.float32)
    write_volume(project / "ref.mrc", values, 5.0)
    write_volume(project / "mask.mrc", np.clip(values, 0, 1), 5.0)
    resized = replace(FINE, trust_reference_size=True)
    check_start(resized, particles_in(project), folder=project)


def test_the_pixel_size_of_a_reference_can_be_told(project):
    values = np.random.default_rng(0).normal(size=(BOX,) * 3).astype(np.float32)
    write_volume(project / "ref.mrc", values, 1.0)
    settings = replace(FINE, reference_pixel_size_A=PIXEL_A)
    check_start(settings, particles_in(project), folder=project)


def test_files_that_are_not_there(project):
    particles = particles_in(project)
    (project / "stacks/a.mrcs").unlink()
    settings = replace(FINE, references="no.mrc", solvent=replace(FINE.solvent, mask="none.mrc"))
    lines = told(settings, particles, project)
    assert len(lines) == 3
    assert "no.mrc" in lines[0]
    assert "a.mrcs: there is no such file (1 of 1 stacks)" in lines[1]
    assert "none.mrc" in lines[2]
    with pytest.raises(InputError) as caught:
        check_continued(settings, particles, folder=project)
    assert str(caught.value).splitlines() == lines[1:]


def test_stacks_are_what_the_rows_say(project):
    particles = particles_in(project)
    names = [f"{row + 9}@stacks/a.mrcs" for row in range(N)]
    (line,) = told(FINE, columns(particles, rlnImageName=names), project)
    assert "stacks/a.mrcs: image 32 is wanted, but the stack has 24" in line
    optics = particles.optics_table.with_columns({"rlnImageSize": [16, 18]})
    other = Particles.from_tables(particles.table, optics, project)
    (line,) = told(FINE, other, project)
    assert "a.mrcs: the images are 16 x 16 pixels, but optics group 2 says rlnImageSize 18" in line
    (project / "stacks/a.mrcs").write_bytes(b"no image")
    (line,) = told(FINE, particles, project)
    assert "stacks/a.mrcs" in line


def test_numbers_that_are_none(project):
    values = np.full((BOX,) * 3, np.nan, np.float32)
    (project / "ref.mrc").write_bytes((project / "ref.mrc").read_bytes()[:1024] + values.tobytes())
    (line,) = told(FINE, particles_in(project), project)
    assert "ref.mrc: the reference holds values that are not numbers" in line


def test_poses_are_needed_where_they_are_not_searched(project):
    particles = without(particles_in(project), "rlnAngleRot", "rlnOriginXAngst")
    sorting = replace(FINE, auto_refine=False, split_halves=False)
    fixed = replace(sorting, searching=Searching(skip_align=True))
    (line,) = told(fixed, particles, project)
    assert line.startswith("Without alignment classification starts from known poses, but the")
    assert "rlnAngleRot, rlnOriginXAngst" in line
    local = replace(sorting, searching=Searching(sigma_tilt_deg=2.0))
    (line,) = told(local, particles, project)
    assert line.startswith("Local searches start from known poses")


def test_a_helix_needs_its_tubes(project):
    helical = replace(FINE, helix=Helix(is_helix=True))
    (line,) = told(helical, particles_in(project), project)
    assert "rlnHelicalTubeID" in line
    assert "Extract them as helical segments" in line


def test_halves_are_1_and_2(project):
    half = np.ones(N, int)
    half[3:5] = 7
    (line,) = told(FINE, columns(particles_in(project), rlnRandomSubset=half), project)
    assert line.startswith("data_particles row 4 (2 rows in all): rlnRandomSubset is 7")


def test_one_particle_cannot_make_two_halves(project):
    particles = particles_in(project)
    one = Particles.from_tables(
        particles.table.select([0]), particles.optics_table, particles.folder
    )
    assert any("No particles are left in half 2" in line for line in told(FINE, one, project))


def test_fscs_in_a_mask_need_a_mask(project):
    solvent = Solvent(diameter_A=40.0, correct_fsc=True)
    (line,) = told(replace(FINE, solvent=solvent), particles_in(project), project)
    assert "need a mask" in line


def test_gradient_maps_need_alignment(project):
    settings = replace(
        FINE, auto_refine=False, split_halves=False, algorithm=Algorithm.GRADIENT,
        searching=Searching(skip_align=True),
    )  # fmt: skip
    (line,) = told(settings, particles_in(project), project)
    assert "The gradient algorithm needs alignment" in line


def test_references_can_be_a_list(project):
    columns_ = {"rlnReferenceImage": ["ref.mrc", "mask.mrc"]}
    write_star(project / "both.star", [Table.from_columns("model_classes", columns_)])
    assert reference_images("both.star", project) == ["ref.mrc", "mask.mrc"]
    settings = replace(FINE, references="both.star", auto_refine=False, split_halves=False)
    check_start(replace(settings, n_classes=2), particles_in(project), folder=project)
    (line,) = told(replace(settings, n_classes=3), particles_in(project), project)
    assert "there are 2 references for 3 classes" in line
    write_star(project / "other.star", [Table.from_columns("x", {"rlnImageName": ["a"]})])
    with pytest.raises(InputError, match="lists no references"):
        reference_images("other.star", project)


def test_averages_are_a_stack(project):
    averages = np.random.default_rng(0).normal(size=(3, BOX, BOX)).astype(np.float32)
    write_volume(project / "classes.mrcs", averages, PIXEL_A)
    assert reference_images("classes.mrcs", project)[2] == "000003@classes.mrcs"
    settings = Settings(
        ndim=2, references="classes.mrcs", n_classes=3, solvent=Solvent(diameter_A=40.0)
    )
    check_start(settings, particles_in(project), folder=project)
