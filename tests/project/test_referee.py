"""RELION 3.1.3 as referee: it reads what we write, and cleans what we clean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from projects import DONE, files, write

from vitreous.project import markers
from vitreous.project import node_types as types
from vitreous.project.aliases import set_alias
from vitreous.project.cleaning import Cleanup, Files, Iterations, Subfolders, apply, plan_clean
from vitreous.project.folder import ProjectFolder
from vitreous.project.lock import break_stale_lock
from vitreous.project.outputs import check_completion
from vitreous.project.pipeline import Pipeline, Status
from vitreous.project.pipeline_file import read_pipeline
from vitreous.project.pipeline_text import format_pipeline

pytestmark = pytest.mark.usefixtures("relion")


def pipeliner(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["relion_pipeliner", *arguments], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"relion_pipeliner {arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def project(root: Path) -> ProjectFolder:
    folder = ProjectFolder.create(root, form="3.1")
    write(root, ["Micrographs/a.tif", "Micrographs/b.tif", "mask.mrc"])
    return folder


def rows(
    pipeline: Pipeline,
) -> tuple[dict[str, object], dict[str, object], set[object], set[object]]:
    nodes = {name: types.to_number(node.type_label) for name, node in pipeline.nodes.items()}
    return dict(pipeline.processes), nodes, set(pipeline.input_edges), set(pipeline.output_edges)


def test_ten_turns_of_relion_and_us_differ_in_additions_only(tmp_path: Path) -> None:
    folder = project(tmp_path)
    for turn in range(10):
        before = rows(ProjectFolder(tmp_path).read())
        if turn % 2 == 0:
            pipeliner(
                tmp_path, "--addJob", "Import", "--addJobOptions", "fn_in_raw == Micrographs/*.tif"
            )
            theirs = f"Import/job{2 * turn + 1:03d}/"
        else:
            mics = f"Import/job{2 * turn - 1:03d}/movies.star"
            options = f"input_star_mics == {mics};first_frame_sum == {turn}"
            alias = ["--setJobAlias", f"turn_{turn}"] if turn == 3 else []
            pipeliner(tmp_path, "--addJob", "MotionCorr", "--addJobOptions", options, *alias)
            theirs = f"MotionCorr/job{2 * turn + 1:03d}/"
        after = ProjectFolder(tmp_path).read()
        assert after.problems == []
        assert set(after.processes) - set(before[0]) == {theirs}
        check_additions(before, rows(after))

        before = rows(after)
        with folder.edit("our turn") as pipeline:
            ours = pipeline.add_process("CtfFind", "relion.ctffind", Status.RUNNING)
            micrographs = f"{theirs}corrected_micrographs.star"
            pipeline.add_input(ours.name, micrographs, types.MICROGRAPHS)
            pipeline.add_output(ours.name, f"{ours.name}micrographs_ctf.star", types.MICROGRAPHS)
        text = folder.file.read_bytes()
        pipeliner(tmp_path, "--check_job_completion")
        # RELION has read all of it and written it back without a difference.
        assert rows(ProjectFolder(tmp_path).read()) == rows(folder.read())
        check_additions(before, rows(ProjectFolder(tmp_path).read()))
        if turn == 0:
            assert folder.file.read_bytes() == text
        write(tmp_path, [f"{ours.name}micrographs_ctf.star"])
        markers.write_marker(folder.job_dir(ours.name), DONE)
        finish = (
            (lambda: check_completion(folder))
            if turn % 2
            else (lambda: pipeliner(tmp_path, "--check_job_completion"))
        )
        finish()
        assert ProjectFolder(tmp_path).read().find(ours.name).status is DONE
    final = ProjectFolder(tmp_path).read()
    assert len(final.processes) == 20
    assert final.counter == 21
    assert final.find("turn_3").number == 7


def check_additions(before: tuple[object, ...], after: tuple[object, ...]) -> None:
    """Everything that was there is there unchanged."""
    processes, nodes, inputs, outputs = before
    assert {n: after[0].get(n) for n in processes} == processes  # type: ignore[attr-defined] # dict
    assert {n: after[1].get(n) for n in nodes} == nodes  # type: ignore[attr-defined] # dict
    assert inputs <= after[2]  # type: ignore[operator] # sets
    assert outputs <= after[3]  # type: ignore[operator] # sets


def test_relion_writes_a_project_of_ours_back_byte_by_byte(tmp_path: Path) -> None:
    folder = project(tmp_path)
    with folder.edit("x") as pipeline:
        a = pipeline.add_process("Import", "relion.import.movies", DONE)
        b = pipeline.add_process("Own", "lab.thing", DONE)
        pipeline.add_output(a.name, f"{a.name}movies.star", types.MOVIES)
        pipeline.add_input(b.name, f"{a.name}movies.star", types.MOVIES)
        pipeline.add_input(b.name, "mask.mrc", types.MASK)
        pipeline.add_output(b.name, f"{b.name}model.cif", types.MODEL)
    set_alias(folder, 2, "best")
    ours = read_pipeline(folder.file)
    pipeliner(tmp_path, "--check_job_completion")
    theirs = read_pipeline(folder.file)
    # RELION drops the labels that have no number in its form; all else is the same.
    labels = {p.name: p.type_label for p in ours}
    assert {p.name: p.type_label for p in theirs} == labels | {b.name: "-1"}
    ours.set_type(b.name, "-1")
    ours.add_output(b.name, f"{b.name}model.cif", types.MODEL)
    assert rows(theirs) == rows(ours)
    assert format_pipeline(theirs) == folder.file.read_text()


def test_the_alias_link_is_that_of_relion(tmp_path: Path) -> None:
    folder = project(tmp_path)
    pipeliner(
        tmp_path,
        "--addJob",
        "Import",
        "--addJobOptions",
        "fn_in_raw == Micrographs/*.tif",
        "--setJobAlias",
        "theirs",
    )
    link = tmp_path / "Import/theirs"
    import os

    wanted = os.readlink(link)
    assert folder.read().find(1).alias == "Import/theirs/"
    link.unlink()
    ProjectFolder(tmp_path).read()
    assert os.readlink(link) == wanted
    assert files(tmp_path, below=".Nodes") == [".Nodes/0/Import/theirs/movies.star"]


def test_our_job_files_are_those_of_relion(tmp_path: Path) -> None:
    project(tmp_path)
    pipeliner(tmp_path, "--addJob", "Import", "--addJobOptions", "fn_in_raw == Micrographs/*.tif")
    theirs = {p.name: p.read_text() for p in (tmp_path / "Import/job001").glob("*_pipeline.star")}
    folder = project(tmp_path / "ours")
    with folder.edit("x") as pipeline:
        job = pipeline.add_process("Import", "relion.import", Status.SCHEDULED)
        pipeline.add_output(job.name, f"{job.name}movies.star", types.MOVIES)
    ours = {p.name: p.read_text() for p in folder.job_dir(job.name).glob("*_pipeline.star")}
    assert ours == theirs


def test_a_crash_of_relion_leaves_a_lock_that_we_remove_when_asked(tmp_path: Path) -> None:
    folder = project(tmp_path)
    folder.file.rename(tmp_path / "away")
    subprocess.run(
        ["relion_pipeliner", "--check_job_completion"], cwd=tmp_path, capture_output=True
    )
    (tmp_path / "away").rename(folder.file)
    assert (tmp_path / ".relion_lock").is_dir()
    owner = break_stale_lock(tmp_path, force=True)
    assert owner is not None
    assert owner.pid is None
    with folder.edit("x") as pipeline:
        pipeline.counter = 5
    pipeliner(tmp_path, "--check_job_completion")


# Cleaning. Each case: folder, type, files, our rules (as the declaration of the job has them).

M = "Movies/deep/"
ITERATIONS = [
    f"{root}_{end}"
    for root in ("run_it000", "run_it001", "run_it002", "run_ct2_it003", "run_ct2_it004")
    for end in ("data.star", "optimiser.star", "class001.mrc", "half1_model.star")
] + ["run_data.star", "run_class001.mrc", "run_half1_class001_unfil.mrc"]
CTF_REFINE = (
    "*_wAcc_optics-group*.mrc",
    "*_xyAcc_optics-group*.mrc",
    "*_aberr-Axx_optics-group_*.mrc",
    "*_aberr-Axy_optics-group_*.mrc",
    "*_aberr-Ayy_optics-group_*.mrc",
    "*_aberr-bx_optics-group_*.mrc",
    "*_aberr-by_optics-group_*.mrc",
    "*_mag_optics-group_*.mrc",
    "*_fit.star",
    "*_fit.eps",
)
POLISH = tuple(Files(f"*_FCC_{x}.mrc", below=True) for x in ("cc", "w0", "w1"))
CASES: dict[str, tuple[str, list[str], Cleanup]] = {
    "MotionCorr": (
        "relion.motioncorr",
        [
            f"{M}a.com",
            f"{M}a.err",
            f"{M}a.out",
            "Movies/a.log",
            f"{M}a.mrc",
            "top.log",
            "logfile.pdf",
        ],
        Cleanup(
            gentle=tuple(Files(p, below=True) for p in ("*.com", "*.err", "*.out", "*.log")),
            harsh=(Subfolders(),),
        ),
    ),
    "CtfFind": (
        "relion.ctffind",
        ["gctf1.out", "gctf1.err", f"{M}a.ctf", f"{M}a.log", "logfile.pdf", "a.log"],
        Cleanup(gentle=(Files("gctf*.out"), Files("gctf*.err"), Subfolders())),
    ),
    "AutoPick": (
        "relion.autopick",
        [f"{M}a.spi", f"{M}a_autopick.star", "top.spi"],
        Cleanup(gentle=(Files("*.spi", below=True),)),
    ),
    "Extract": (
        "relion.extract",
        [f"{M}a_extract.star", f"{M}a.mrcs", "particles.star", "top_extract.star"],
        Cleanup(gentle=(Files("*_extract.star", below=True),), harsh=(Subfolders(),)),
    ),
    "Class2D": ("relion.class2d", ITERATIONS, Cleanup(gentle=(Iterations(),))),
    "Refine3D": ("relion.refine3d", ITERATIONS, Cleanup(gentle=(Iterations(),))),
    "CtfRefine": (
        "relion.ctfrefine",
        [f"{M}a{p.replace('*', 'x', 1).replace('*', '1')}"[:99] for p in CTF_REFINE]
        + [f"{M}a_other.mrc", "top_fit.star"],
        Cleanup(gentle=tuple(Files(p, below=True) for p in CTF_REFINE)),
    ),
    "Polish": (
        "relion.polish",
        [
            f"{M}a_FCC_cc.mrc",
            f"{M}a_FCC_w0.mrc",
            f"{M}a_FCC_w1.mrc",
            f"{M}a_shiny.mrcs",
            f"{M}a_shiny.star",
            f"{M}a_tracks.star",
            "shiny.star",
        ],
        Cleanup(
            gentle=POLISH,
            harsh=(*POLISH, Files("*_shiny.mrcs", below=True), Files("*_shiny.star", below=True)),
        ),
    ),
    "Subtract": (
        "relion.subtract",
        ["subtracted.mrcs", "Particles/subtracted_opticsgroup1.mrcs", "particles_subtracted.star"],
        Cleanup(harsh=(Files("subtracted.*"),)),
    ),
    "Select": ("relion.select", [f"{M}a.mrc", "particles.star"], Cleanup(refused=True)),
    "MultiBody": (
        "relion.multibody",
        [*ITERATIONS, "analyse_component001_bin001.mrc"],
        Cleanup(
            gentle=(Iterations(),),
            harsh=(Iterations(also=("analyse_component???_bin???.mrc",)),),
        ),
    ),
}


@pytest.mark.parametrize("harsh", [False, True], ids=["gentle", "harsh"])
@pytest.mark.parametrize("name", list(CASES))
def test_we_clean_the_files_that_relion_cleans(tmp_path: Path, name: str, harsh: bool) -> None:
    label, made, rules = CASES[name]
    folder = project(tmp_path)
    with folder.edit("x") as pipeline:
        job = pipeline.add_process(name, label, DONE)
        if "run_it001_optimiser.star" in made:
            pipeline.add_output(job.name, f"{job.name}run_it001_optimiser.star", types.OPTIMISER)
    write(tmp_path, [job.name + file for file in made])
    pipeline = folder.read()
    plan = plan_clean(folder, pipeline, pipeline.find(1), rules, harsh=harsh)
    ours = {name.removeprefix(job.name) for name, _ in plan.files}

    pipeliner(tmp_path, "--harsh_clean" if harsh else "--gentle_clean", "1")
    left = {file.removeprefix(job.name) for file in files(tmp_path, below=job.name)}
    assert set(made) - left == ours
    if name == "MotionCorr" and harsh:
        # What it nests one folder too deep, we put at the same path.
        assert (tmp_path / f"Trash/{job.name}Movies/Movies/deep/a.mrc").exists()


def test_a_job_that_we_cleaned_is_read_by_relion(tmp_path: Path) -> None:
    folder = project(tmp_path)
    with folder.edit("x") as pipeline:
        job = pipeline.add_process("Extract", "relion.extract", DONE)
    write(tmp_path, [f"{job.name}Movies/a.mrcs"])
    pipeline = folder.read()
    rules = Cleanup(harsh=(Subfolders(),))
    apply(folder, plan_clean(folder, pipeline, pipeline.find(1), rules, harsh=True))
    pipeliner(tmp_path, "--harsh_clean", "1")
    assert (tmp_path / "Trash/Extract/job001/Movies/a.mrcs").exists()
