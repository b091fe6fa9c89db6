"""Particles as the engine sees them: images, groups, halves, transfer functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as some

from dataset.refinement.conftest import BOX, PIXEL_A, N, particles_in
from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement import (
    assignments_of,
    data_of,
    scale_groups,
    with_assignments,
    with_images_in,
)
from vitreous.dataset.refinement.data_star import draw_halves, named_groups
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import StackWriter, Table, read_images, write_star


def with_columns(particles, **columns):
    return replace(particles, table=particles.table.with_columns(columns))


def with_optics(particles, **columns):
    optics = particles.optics_table.with_columns(columns)
    return Particles.from_tables(particles.table, optics, particles.folder)


def test_images_optics_and_defocus_of_any_rows(tmp_path):
    particles = particles_in(tmp_path)
    data = data_of(particles)
    rows = np.array([7, 3, 21])
    names = [f"{row + 1}@{tmp_path}/stacks/a.mrcs" for row in rows]
    assert torch.equal(data.read(rows), torch.from_numpy(read_images(names)))
    assert data.defocus.defocus_u_A[rows].tolist() == (11000.123456789 + rows).tolist()
    assert data.optics_group[rows].tolist() == [1, 1, 1]
    assert data.identity.tolist() == list(range(N))
    assert data.mtf == ()
    assert len(data) == N


def test_images_can_come_from_another_disk(tmp_path):
    particles = particles_in(tmp_path)
    copy = tmp_path / "scratch.mrcs"
    with StackWriter(copy, (BOX, BOX), PIXEL_A) as stack:
        stack.write(np.full((N, BOX, BOX), 5, np.float32))
    moved = with_images_in(particles, [f"{row + 1}@{copy}" for row in range(N)])
    assert (data_of(moved).read(np.array([0, 9])) == 5).all()


def test_a_wrong_box_is_told_with_the_image(tmp_path):
    particles = with_optics(particles_in(tmp_path), rlnImageSize=18)
    with pytest.raises(FormatError, match=r"000003@stacks/a\.mrcs: the images are 16 x 16"):
        data_of(particles).read(np.array([2]))


def mtf_file(path, values=(1.0, 0.8, 0.2)):
    columns = {"rlnResolutionInversePixel": [0.0, 0.25, 0.5], "rlnMtfValue": list(values)}
    write_star(path, [Table.from_columns("mtf", columns)])


def test_the_mtf_belongs_to_pixels_of_the_detector(tmp_path):
    mtf_file(tmp_path / "mtf.star")
    columns = {"rlnMtfFileName": ["mtf.star", ""], "rlnMicrographOriginalPixelSize": PIXEL_A / 2}
    first, second = data_of(with_optics(particles_in(tmp_path), **columns)).mtf
    assert second is None
    assert first.shape == (BOX, BOX // 2 + 1)
    # Nyquist of images binned twice is half of the detector's.
    assert first[0, 0] == 1
    assert float(first[0, BOX // 2]) == pytest.approx(0.8)
    assert float(first[0, BOX // 4]) == pytest.approx(0.9)


def test_an_mtf_that_is_not_there_or_none(tmp_path):
    particles = with_optics(particles_in(tmp_path), rlnMtfFileName="mtf.star")
    with pytest.raises(MissingFileError, match="no such MTF file"):
        data_of(particles)
    mtf_file(tmp_path / "mtf.star", (1.0, 0.5, 0.0))
    with pytest.raises(FormatError, match="values be above 0"):
        data_of(particles)
    assert data_of(particles, with_mtf=False).mtf == ()


def test_scale_groups_are_micrographs_without_their_job(tmp_path):
    groups = scale_groups(particles_in(tmp_path))
    assert groups.names == ("m0.mrc", "m1.mrc", "m2.mrc")
    assert groups.counts() == (8, 8, 8)
    assert groups.counts(np.arange(N) < 4) == (2, 1, 1)
    shares = groups.optics_shares(np.arange(N) % 2, 2)
    assert shares.sum(1) == pytest.approx(np.ones(3))


def test_group_names_go_before_micrographs_and_numbers_before_both(tmp_path):
    particles = with_columns(particles_in(tmp_path), rlnGroupName=["a", "b"] * (N // 2))
    assert scale_groups(particles).names == ("a", "b")
    numbered = with_columns(particles, rlnGroupNumber=1 + np.arange(N) % 3)
    assert named_groups(numbered, ("x", "y", "z")).of_particle.tolist() == [0, 1, 2] * (N // 3)
    assert named_groups(particles, ("b", "a")).of_particle.tolist() == [1, 0] * (N // 2)


def test_poses_priors_and_classes_come_from_columns(tmp_path):
    particles = with_columns(
        particles_in(tmp_path), rlnAngleTiltPrior=90.0, rlnClassNumber=[1, 2, 3, 9] * (N // 4)
    )
    found = assignments_of(particles, n_classes=3)
    assert found.angles_deg[:, 1].tolist() == particles.table["rlnAngleTilt"].tolist()
    assert found.prior_deg[0, 1] == 90
    assert np.isnan(found.prior_deg[:, [0, 2]]).all()
    assert np.isnan(found.prior_origin_A).all()
    assert found.class_[:4].tolist() == [0, 1, 2, 0]
    assert (found.norm == 1).all()


def test_priors_that_are_there_are_written_and_others_are_not(tmp_path):
    particles = with_columns(particles_in(tmp_path), rlnAngleTiltPrior=90.0)
    found = assignments_of(particles)
    moved = replace(found, prior_deg=found.prior_deg + 1)
    table = with_assignments(particles, moved, split_halves=False).table
    assert (table["rlnAngleTiltPrior"] == 91).all()
    assert "rlnAnglePsiPrior" not in table
    assert "rlnRandomSubset" not in table


def test_given_halves_are_kept(tmp_path):
    half = 1 + (np.arange(N) < 5)
    particles = with_columns(particles_in(tmp_path), rlnRandomSubset=half)
    assert (assignments_of(particles, split_halves=True, seed=9).half == half - 1).all()
    assert (assignments_of(particles).half == 0).all()


@for_all(some.integers(0, 200), some.integers(0, 5))
def test_drawn_halves_are_equal_and_hang_on_the_seed_alone(n, seed):
    half = draw_halves(np.arange(n), seed)
    assert abs(np.sum(half == 0) - np.sum(half == 1)) <= 1
    assert (half == draw_halves(np.arange(n), seed)).all()
    if n > 60:
        assert (half != draw_halves(np.arange(n), seed + 1)).any()


def test_segments_of_a_filament_stay_together(tmp_path):
    tube = np.arange(N) // 4 % 2
    particles = with_columns(particles_in(tmp_path), rlnHelicalTubeID=tube)
    half = assignments_of(particles, split_halves=True, seed=1).half
    names = particles.table["rlnMicrographName"]
    for name in set(names):
        for number in (0, 1):
            assert len(set(half[(names == name) & (tube == number)])) == 1
    assert np.sum(half == 0) == N // 2
