"""Select jobs that save what somebody chose by eye, on a real 2D classification of RELION 5."""

import numpy as np
import pytest

from dataset import tables
from programs import real_classes
from programs.jobs_made import run_job
from programs.real_classes import OPTIMISER
from vitreous.dataset.chosen_classes import selection_table
from vitreous.dataset.recentring import centre_of_mass
from vitreous.errors import FormatError, InputError
from vitreous.io import read_images, read_star, write_star


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = tables.particles(
        [f"{i}@stack.mrcs" for i in range(1, 31)], rlnClassNumber=[i % 3 + 1 for i in range(30)]
    )
    write_star(tmp_path / "p.star", tables.star(tables.optics(), rows))
    return tmp_path


@pytest.fixture
def class2d(project, data):
    """The classification as a job of the project."""
    real_classes.put(project, data)
    return project


def select(project, flags="", **values):
    source = {"fn_data": "p.star"} if "fn_model" not in values else {}
    return run_job(project, "select", other_args=flags, **source, **values)


def kept(project):
    return read_star(project / "Select/job001/particles.star")["particles"]


def leave_choice(project, chosen):
    job = project / "Select/job001"
    job.mkdir(parents=True, exist_ok=True)
    write_star(job / "backup_selection.star", [selection_table(np.asarray(chosen))])


def test_particles_of_chosen_classes_are_saved(class2d):
    run = select(class2d, "--classes 2,4-5", fn_model=OPTIMISER)
    rows = read_star(OPTIMISER.replace("optimiser", "data"))["particles"]
    inside = np.isin(rows["rlnClassNumber"], [2, 4, 5])
    assert kept(class2d) == rows.select(inside)
    assert run.headlines == {"selected": int(inside.sum()), "total": len(rows), "classes": 3}
    averages = read_star(class2d / "Select/job001/class_averages.star").first
    assert [name[:8] for name in averages["rlnReferenceImage"]] == [
        "00000002",
        "00000004",
        "00000005",
    ]
    assert "rlnEstimatedResolution" in averages
    backup = read_star(class2d / "Select/job001/backup_selection.star").first
    assert backup["rlnSelected"].tolist() == [0, 1, 0, 1, 1, 0, 0, 0, 0, 0]


def test_a_choice_left_in_the_job_folder_is_taken_again_and_again(class2d):
    leave_choice(class2d, np.arange(10) == 1)
    select(class2d, fn_model=OPTIMISER)
    assert set(kept(class2d)["rlnClassNumber"]) == {2}
    first = (class2d / "Select/job001/particles.star").read_bytes()
    select(class2d, fn_model=OPTIMISER)
    assert (class2d / "Select/job001/particles.star").read_bytes() == first


def test_a_model_file_does_as_well(class2d):
    select(class2d, "--classes 1", fn_model=OPTIMISER.replace("optimiser", "model"))
    assert set(kept(class2d)["rlnClassNumber"]) == {1}


def test_groups_are_merged(class2d):
    values = {"fn_model": OPTIMISER, "do_regroup": True}
    select(class2d, "--classes 1-10", nr_groups=2, **values)
    rows = kept(class2d)
    assert "rlnGroupNumber" not in rows
    names, sizes = np.unique(rows["rlnGroupName"].astype(str), return_counts=True)
    assert names.tolist() == ["group_001", "group_002", "group_003"]
    assert sizes.sum() == 684
    with pytest.raises(InputError, match="at most 68 groups"):
        select(class2d, "--classes 1-10", nr_groups=200, **values)


def test_averages_are_centred(class2d):
    select(class2d, "--classes 2,4", fn_model=OPTIMISER, do_recenter=True)
    averages = read_star(class2d / "Select/job001/class_averages.star").first
    names = [str(name) for name in averages["rlnReferenceImage"]]
    assert names == [f"{i:06d}@Select/job001/class_averages.mrcs" for i in (1, 2)]
    for image in read_images(names):
        assert np.abs(centre_of_mass(image)).max() < 0.3


def test_at_most_so_many_of_each_class(class2d):
    flags = "--classes 2,4 --max_nr_parts_per_class 7"
    assert select(class2d, flags, fn_model=OPTIMISER).headlines["selected"] == 14


def test_averages_from_another_folder_are_registered(class2d):
    (class2d / "Elsewhere").symlink_to("Class2D/job002")
    run = select(class2d, "--classes 1", fn_model="Elsewhere/run_it025_model.star")
    node_type = "Image2DGroupMetadata.star.relion.classaverages"
    assert run.outputs == [("Select/job001/class_averages.star", node_type)]


def test_classes_of_a_refinement_give_no_averages(project, data):
    folder = project / "ref"
    folder.mkdir()
    for path in (data / "relion5_runs/refine3d_d2").glob("run_it001_*.star"):
        (folder / path.name).write_bytes(path.read_bytes())
    run = select(project, "--classes 1", fn_model="ref/run_it001_optimiser.star")
    assert run.headlines["selected"] == 684
    assert not (project / "Select/job001/class_averages.star").exists()
    select(project, "--classes 1", fn_model="ref/run_it001_half1_model.star")
    assert len(kept(project)) == 684


def test_particles_are_chosen_by_row_or_class(project):
    chosen = np.arange(30) % 4 == 0
    leave_choice(project, chosen)
    select(project)
    assert kept(project) == read_star("p.star")["particles"].select(chosen)
    select(project, "--classes 3")
    assert set(kept(project)["rlnClassNumber"]) == {3}


def test_without_a_choice_it_says_how_to_choose(class2d):
    with pytest.raises(InputError, match=r"Choose in the browser.*--classes 1,3-5"):
        select(class2d, fn_model=OPTIMISER)
    with pytest.raises(InputError, match="1 to 10"):
        select(class2d, "--classes 11", fn_model=OPTIMISER)
    leave_choice(class2d, np.zeros(10, bool))
    with pytest.raises(InputError, match="none of the 10 rows is chosen"):
        select(class2d, fn_model=OPTIMISER)


def test_a_choice_for_another_list_is_refused(class2d):
    leave_choice(class2d, np.ones(4, bool))
    with pytest.raises(FormatError, match=r"choice for 4 rows, but there are 10"):
        select(class2d, fn_model=OPTIMISER)


def test_neither_model_nor_optimiser_is_refused(project):
    with pytest.raises(FormatError, match="neither an optimiser file"):
        select(project, "--classes 1", fn_model="p.star")


@pytest.mark.parametrize("columns", [{}, {"rlnClassNumber": [0, 0]}])
def test_particles_of_no_class_cannot_be_chosen_by_class(project, columns):
    rows = tables.particles(["1@stack.mrcs", "2@stack.mrcs"], **columns)
    write_star(project / "p.star", tables.star(tables.optics(), rows))
    with pytest.raises(InputError, match=r"no rlnClassNumber|no class can be chosen"):
        select(project, "--classes 1")
