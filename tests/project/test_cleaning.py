"""Which files cleaning takes, which it keeps, and that they can come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import DONE, chain, files, write

from vitreous.errors import InputError
from vitreous.project import node_types as types
from vitreous.project.cleaning import (
    Cleanup,
    Files,
    Iterations,
    Subfolders,
    apply,
    iteration_roots,
    plan_clean,
    plan_clean_all,
    restore_cleaned,
)
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status

CTFFIND = Cleanup(gentle=(Files("gctf*.out"), Subfolders()))
MOTIONCORR = Cleanup(gentle=(Files("*.log", below=True),), harsh=(Subfolders(),))
REFINEMENT = Cleanup(gentle=(Iterations(also=("analyse_component???_bin???.mrc",)),))


def plan(folder: ProjectFolder, number: int, rules: Cleanup, *, harsh: bool = False) -> list[str]:
    pipeline = folder.read()
    found = plan_clean(folder, pipeline, pipeline.find(number), rules, harsh=harsh)
    assert found.refused is None
    return [name for name, _ in found.files]


def test_a_plan_has_sizes_and_changes_nothing(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    write(
        tmp_path, ["MotionCorr/job002/Movies/a.log", "MotionCorr/job002/Movies/deep/b.log"], "12345"
    )
    write(tmp_path, ["MotionCorr/job002/top.log", "MotionCorr/job002/.hidden/c.log"])
    before = files(tmp_path)
    pipeline = folder.read()
    found = plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=False)
    assert found.files == (
        ("MotionCorr/job002/Movies/a.log", 5),
        ("MotionCorr/job002/Movies/deep/b.log", 5),
    )
    assert found.n_bytes == 10
    assert files(tmp_path) == before


def test_files_land_at_the_same_path_and_can_be_restored(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    write(tmp_path, ["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/deep/b.mrc"])
    before = files(tmp_path)
    pipeline = folder.read()
    apply(folder, plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=True))
    assert files(tmp_path, below="Trash") == [
        "Trash/MotionCorr/job002/Movies/a.mrc",
        "Trash/MotionCorr/job002/Movies/deep/b.mrc",
    ]
    assert not (tmp_path / "MotionCorr/job002/Movies").exists()
    assert len(restore_cleaned(folder, pipeline.find(2))) == 2
    assert files(tmp_path) == before


def test_a_file_that_the_job_made_again_is_not_overwritten_on_restoring(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    write(tmp_path, ["MotionCorr/job002/Movies/a.mrc"], "old")
    pipeline = folder.read()
    apply(folder, plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=True))
    write(tmp_path, ["MotionCorr/job002/Movies/a.mrc"], "new")
    assert restore_cleaned(folder, pipeline.find(2)) == []
    assert (tmp_path / "MotionCorr/job002/Movies/a.mrc").read_text() == "new"


@pytest.mark.parametrize("harsh", [False, True])
def test_ctf_images_that_a_star_file_names_stay(tmp_path: Path, harsh: bool) -> None:
    folder = chain(tmp_path)
    names = [f"CtfFind/job003/Movies/{name}" for name in ("a.ctf", "b.ctf", "c.ctf", "a.log")]
    write(tmp_path, names)
    write(tmp_path, ["CtfFind/job003/ctf.star"], f"x {names[0]}:mrc 1\n")
    write(tmp_path, ["Extract/job004/particles.star"], f"000001@{names[1]}")
    pipeline = folder.read()
    found = plan_clean(folder, pipeline, pipeline.find(3), CTFFIND, harsh=harsh)
    assert [name for name, _ in found.files] == [names[3], names[2]]
    assert dict(found.kept) == {
        names[0]: "CtfFind/job003/ctf.star names it",
        names[1]: "Extract/job004/particles.star names it",
    }


def test_gentle_cleaning_keeps_what_another_job_could_use(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    rules = Cleanup(gentle=(Files("*.star", below=True), Files("*.star")), harsh=(Subfolders(),))
    listed = "Extract/job004/Movies/a_pick.star"
    write(tmp_path, [listed, "Extract/job004/Movies/b_pick.star"])
    write(tmp_path, ["Extract/job004/particles.star"], listed)
    assert "Extract/job004/Movies/b_pick.star" in plan(folder, 4, rules)
    assert listed not in plan(folder, 4, rules)
    assert "Extract/job004/particles.star" not in plan(folder, 4, rules)
    assert listed in plan(folder, 4, rules, harsh=True)


def refinement(root: Path, roots: list[str], node: str | None) -> ProjectFolder:
    folder = ProjectFolder.create(root)
    with folder.edit("x") as pipeline:
        job = pipeline.add_process("Class3D", "relion.class3d", DONE)
        pipeline.add_output(job.name, f"{job.name}run_it025_data.star", types.PARTICLES)
        if node:
            pipeline.add_output(job.name, job.name + node, types.OPTIMISER)
    parts = ("_data.star", "_optimiser.star", "_class001.mrc", "_class001_angdist.bild")
    write(root, [f"Class3D/job001/{name}{part}" for name in roots for part in parts])
    write(
        root, [f"Class3D/job001/{n}" for n in ("run_data.star", "analyse_component001_bin001.mrc")]
    )
    return folder


def test_all_iterations_go_but_the_last_and_those_in_the_pipeline(tmp_path: Path) -> None:
    roots = ["run_it000", "run_it001", "run_it002", "run_ct2_it003", "run_ct2_it025"]
    folder = refinement(tmp_path, roots, "run_it001_optimiser.star")
    gone = {name.split("/")[-1].rsplit("_", 1)[0] for name in plan(folder, 1, REFINEMENT)}
    assert gone == {
        *("run_it000", "run_it000_class001", "run_it002", "run_it002_class001"),
        *("run_ct2_it003", "run_ct2_it003_class001", "analyse_component001"),
    }
    assert not any("run_data" in name for name in plan(folder, 1, REFINEMENT))


def test_a_continued_run_counts_after_the_first_and_a_single_one_is_kept(tmp_path: Path) -> None:
    folder = refinement(tmp_path, ["run_it012", "run_ct9_it011", "run_ct10_it011"], None)
    job_dir = tmp_path / "Class3D/job001"
    assert iteration_roots(job_dir) == ["run_it012", "run_ct9_it011", "run_ct10_it011"]
    assert not any("run_ct10" in name for name in plan(folder, 1, REFINEMENT))
    alone = refinement(tmp_path / "alone", ["run_it012"], None)
    assert plan(alone, 1, REFINEMENT) == []


def test_protected_jobs_are_refused_harshly_and_cleaned_gently(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    write(tmp_path, ["MotionCorr/job002/Movies/a.log", "MotionCorr/job002/NO_HARSH_CLEAN"])
    pipeline = folder.read()
    refused = plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=True)
    assert refused.files == ()
    assert "NO_HARSH_CLEAN" in str(refused.refused)
    with pytest.raises(InputError, match="protected"):
        apply(folder, refused)
    assert plan(folder, 2, MOTIONCORR) == ["MotionCorr/job002/Movies/a.log"]


def test_only_succeeded_jobs_of_types_with_rules_are_cleaned(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    with folder.edit("x") as pipeline:
        pipeline.set_status("MotionCorr/job002/", Status.FAILED)
    pipeline = folder.read()
    failed = plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=False)
    assert "only succeeded jobs" in str(failed.refused)
    never = plan_clean(folder, pipeline, pipeline.find(1), Cleanup(refused=True), harsh=True)
    assert "never cleaned" in str(never.refused)
    assert plan_clean(folder, pipeline, pipeline.find(1), Cleanup(), harsh=True).files == ()


def test_a_job_that_was_started_again_meanwhile_is_left_alone(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    write(tmp_path, ["MotionCorr/job002/Movies/a.log"])
    pipeline = folder.read()
    found = plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=False)
    with folder.edit("continue") as pipeline:
        pipeline.set_status("MotionCorr/job002/", Status.RUNNING)
    with pytest.raises(InputError, match="started again"):
        apply(folder, found)
    assert (tmp_path / "MotionCorr/job002/Movies/a.log").exists()


def test_symlinks_move_as_links_and_the_file_they_point_to_stays(tmp_path: Path) -> None:
    folder = chain(tmp_path / "p")
    write(tmp_path, ["elsewhere/big.mrc", "elsewhere/more/c.mrc"])
    movies = tmp_path / "p/MotionCorr/job002/Movies"
    movies.mkdir()
    (movies / "a.mrc").symlink_to(tmp_path / "elsewhere/big.mrc")
    (movies / "more").symlink_to(tmp_path / "elsewhere/more")
    pipeline = folder.read()
    apply(folder, plan_clean(folder, pipeline, pipeline.find(2), MOTIONCORR, harsh=True))
    assert (tmp_path / "p/Trash/MotionCorr/job002/Movies/a.mrc").is_symlink()
    assert files(tmp_path, below="elsewhere") == ["elsewhere/big.mrc", "elsewhere/more/c.mrc"]


def test_cleaning_all_takes_succeeded_jobs_with_rules_and_names_the_protected(
    tmp_path: Path,
) -> None:
    folder = chain(tmp_path)
    write(tmp_path, ["MotionCorr/job002/Movies/a.mrc", "Extract/job004/Movies/a.mrcs"])
    write(tmp_path, ["MotionCorr/job002/NO_HARSH_CLEAN", "CtfFind/job003/Movies/a.ctf"])
    with folder.edit("x") as pipeline:
        pipeline.set_status("CtfFind/job003/", Status.ABORTED)
    rules = {"Import": Cleanup(refused=True), "Select": Cleanup()}
    plans = plan_clean_all(
        folder,
        folder.read(),
        lambda process: rules.get(process.type_folder, Cleanup(harsh=(Subfolders(),))),
        harsh=True,
    )
    assert [(p.process.number, len(p.files), bool(p.refused)) for p in plans] == [
        (2, 0, True),
        (4, 1, False),
    ]
    unknown = plan_clean_all(folder, folder.read(), lambda _process: None, harsh=True)
    assert unknown == []
