"""Select jobs that rank 2D classes, on a real classification of RELION 5."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import vitreous
from programs import real_classes
from programs.jobs_made import run_job
from programs.real_classes import OPTIMISER
from vitreous.errors import ComputeError, EnvironmentMissing, FormatError, InputError
from vitreous.io import read_star, write_star
from vitreous.jobs import registry
from vitreous.programs.select_ranked import choose

JOB = Path("Select/job001")
SMALL = 6  # the class that has ten particles or fewer


@pytest.fixture
def project(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    real_classes.put(tmp_path, data)
    return tmp_path


def rank(project, flags="", fn_model=OPTIMISER, **values):
    return run_job(
        project, "select", fn_model=fn_model, do_class_ranker=True, other_args=flags, **values
    )


def stub(project, body):
    """Return a command that runs a few lines of Python with the arguments in `args`."""
    path = project / "stub.py"
    head = "import sys\nfrom pathlib import Path\nimport numpy as np\nargs = sys.argv[1:]\n"
    path.write_text(head + textwrap.dedent(body))
    return f"{sys.executable} {path}"


def edited(project, file, table, **columns):
    star = read_star(project / file)
    write_star(project / file, star.with_table(star[table].with_columns(columns)))


def test_every_file_of_the_job_is_written(project):
    run = rank(project, rank_threshold=0.3)
    model = read_star(JOB / "rank_model.star")["model_classes"]
    scores = model["rlnClassScore"]
    assert len(scores) == 10
    assert np.flatnonzero(scores == -999).tolist() == [SMALL - 1]
    judged = np.delete(scores, SMALL - 1)
    assert judged.min() >= 0
    assert judged.max() <= 1
    assert (scores == model["rlnPredictedClassScore"]).all()

    general = read_star(JOB / "rank_optimiser.star")["optimiser_general"]
    assert general.value("rlnModelStarFile") == "Select/job001/rank_model.star"
    assert general.value("rlnExperimentalDataStarFile") == "Select/job001/rank_data.star"
    everything = read_star(JOB / "rank_data.star")
    assert everything["particles"] == read_star(OPTIMISER.replace("optimiser", "data"))["particles"]

    chosen = scores >= 0.3
    backup = read_star(JOB / "backup_selection.star").first
    assert (backup["rlnSelected"] == chosen).all()
    averages = read_star(JOB / "class_averages.star").first
    assert averages["rlnPredictedClassScore"].tolist() == scores[chosen].tolist()
    assert "rlnEstimatedResolution" in averages
    kept = read_star(JOB / "particles.star")["particles"]
    assert set(kept["rlnClassNumber"] - 1) == set(np.flatnonzero(chosen))
    assert (kept["rlnPredictedClassScore"] == scores[kept["rlnClassNumber"] - 1]).all()
    assert run.headlines == {"selected": len(kept), "total": 684, "classes": int(chosen.sum())}
    assert [one["name"] for one in run.plots["scores"]["series"]] == ["selected", "left out"]


def test_what_was_ranked_can_be_selected_from_by_eye(project):
    rank(project, rank_threshold=0.0)
    run_job(project, "select", "Select/job002/", fn_model=str(JOB / "rank_optimiser.star"),
            other_args="--classes 2,4")  # fmt: skip
    kept = read_star("Select/job002/particles.star")["particles"]
    assert set(kept["rlnClassNumber"]) == {2, 4}


@pytest.mark.usefixtures("relion")
def test_relion_reads_the_particles(project):
    rank(project, rank_threshold=0.0)
    command = ["relion_star_handler", "--i", str(JOB / "particles.star"), "--o", "r.star"]
    flags = ["--select", "rlnClassNumber", "--minval", "2", "--maxval", "2"]
    subprocess.run([*command, *flags], check=True, capture_output=True)
    kept = read_star(JOB / "particles.star")["particles"]
    assert len(read_star("r.star")["particles"]) == (kept["rlnClassNumber"] == 2).sum()


def test_it_runs_as_a_job_of_the_project(project):
    vitreous.Project.create(project)
    job = vitreous.Project(project).run(
        "select", optimiser=OPTIMISER, rank_classes=True, min_score=0.0, min_classes=5
    )
    assert job.status == "Succeeded"
    assert job.results["classes"] == 9
    assert {path.name for path in map(Path, job.outputs.values())} == {
        "particles.star",
        "class_averages.star",
        "rank_optimiser.star",
    }


def options(**values):
    return registry.find("select").new({"rank_classes": True, **values}, {})


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, [0, 2]),
        ({"min_score": 0.35}, [0, 2, 3]),
        ({"min_particles": 50}, [0, 2]),
        ({"min_particles": 350}, [0, 2, 3]),
        ({"min_particles": 351}, [0, 1, 2, 3]),
        ({"min_particles": 10**4}, [0, 1, 2, 3]),
        ({"min_classes": 1}, [0, 2]),
        ({"min_classes": 3}, [0, 2, 3]),
        ({"min_classes": 9}, [0, 1, 2, 3]),
    ],
)
def test_the_threshold_is_lowered_until_there_are_enough(values, wanted):
    scores = np.array([0.9, 0.1, 0.6, 0.4, -999.0])
    counts = np.array([100, 100, 150, 100, 5])
    assert np.flatnonzero(choose(scores, counts, options(**values))).tolist() == wanted


def test_small_classes_are_not_judged(project):
    rows = read_star(OPTIMISER.replace("optimiser", "data"))["particles"]
    numbers = rows["rlnClassNumber"].copy()
    numbers[np.flatnonzero(numbers == 2)[10:]] = 1
    edited(project, OPTIMISER.replace("optimiser", "data"), "particles", rlnClassNumber=numbers)
    run = rank(project, rank_threshold=0.0)
    scores = read_star(JOB / "rank_model.star")["model_classes"]["rlnClassScore"]
    assert scores[1] == -999
    assert 2 not in read_star(JOB / "particles.star")["particles"]["rlnClassNumber"]
    assert any("not judged" in line for line in run.lines)


def test_a_threshold_that_nothing_reaches_is_told(project):
    with pytest.raises(InputError, match=r"No class has a score of 1 or more; the best has 0\."):
        rank(project, rank_threshold=1.0)


def test_what_cannot_be_ranked_is_refused(project, data):
    with pytest.raises(FormatError, match="needs the optimiser file of a Class2D"):
        rank(project, fn_model=OPTIMISER.replace("optimiser", "model"))
    edited(project, OPTIMISER, "optimiser_general", rlnDoCorrectCtf=[0])
    with pytest.raises(InputError, match="without CTF correction"):
        rank(project)
    (project / "ref").mkdir()
    for path in (data / "relion5_runs/refine3d_d2").glob("run_it001_*.star"):
        (project / "ref" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="its classes are volumes"):
        rank(project, fn_model="ref/run_it001_optimiser.star")


def test_a_mask_without_a_diameter_is_refused(project):
    edited(project, OPTIMISER, "optimiser_general", rlnParticleDiameter=[-1.0])
    with pytest.raises(FormatError, match=r"diameter of the mask is -1 Å"):
        rank(project)


def test_scores_of_another_scorer_are_used(project):
    command = stub(
        project,
        """
        folder = Path(args[0])
        images, features = np.load(folder / "images.npy"), np.load(folder / "features.npy")
        assert images.shape == (10, 64, 64) and features.shape == (10, 24)
        assert "accuracy_rotation" in (folder / "features.star").read_text()
        np.savetxt(folder / "scores.txt", np.arange(10) / 10)
        """,
    )
    rank(project, f"--scorer '{command}'")
    scores = read_star(JOB / "rank_model.star")["model_classes"]["rlnClassScore"]
    wanted = np.where(np.arange(10) == SMALL - 1, -999, np.arange(10) / 10)
    assert scores.tolist() == pytest.approx(wanted.tolist())
    kept = read_star(JOB / "particles.star")["particles"]
    assert set(kept["rlnClassNumber"]) == set(range(7, 11))


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("sys.exit('no weights')", ComputeError, "no weights"),
        ("", FileNotFoundError, "wrote no scores"),
        ("(Path(args[0]) / 'scores.txt').write_text('0.5 0.5')", FormatError, "2 scores"),
        ("(Path(args[0]) / 'scores.txt').write_text('good bad')", FormatError, "one number a line"),
    ],
)
def test_a_scorer_that_fails_is_told(project, body, error, words):
    with pytest.raises(error, match=words):
        rank(project, f"--scorer '{stub(project, body)}'")


def test_a_scorer_that_is_not_there_is_told(project):
    with pytest.raises(EnvironmentMissing, match=r"cannot be started.*--scorer"):
        rank(project, "--scorer /nowhere/scorer")


def test_relions_own_ranker_is_called_with_its_flags(project):
    rank(project, rank_threshold=0.0)
    for name in ("rank_model.star", "rank_optimiser.star", "rank_data.star", "particles.star",
                 "class_averages.star"):  # fmt: skip
        content = (JOB / name).read_text().replace("Select/job001/", "Select/job002/")
        (project / f"kept_{name}").write_text(content)
    command = stub(
        project,
        """
        Path("words.txt").write_text(" ".join(args))
        for file in Path().glob("kept_*.star"):
            (Path("Select/job002") / file.name.removeprefix("kept_")).write_text(file.read_text())
        """,
    )
    run = run_job(
        project, "select", "Select/job002/", fn_model=OPTIMISER, do_class_ranker=True,
        rank_threshold=0.4, select_nr_classes=3, other_args=f"--ranker '{command}'",
    )  # fmt: skip
    assert (project / "words.txt").read_text() == (
        f"--opt {OPTIMISER} --o Select/job002/ --fn_sel_parts particles.star "
        "--fn_sel_classavgs class_averages.star --select_min_nr_classes 3 --fn_root rank "
        "--do_granularity_features --auto_select --min_score 0.4"
    )
    assert run.headlines["classes"] == 9
    assert run.headlines["selected"] == len(read_star(JOB / "particles.star")["particles"])


def test_relions_ranker_that_writes_nothing_is_told(project):
    with pytest.raises(FileNotFoundError, match=r"wrote no rank_model\.star, rank_optimiser\.star"):
        rank(project, f"--ranker '{stub(project, '')}'")
