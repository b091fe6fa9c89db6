"""Scheduled jobs leave a project and arrive in another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import chain, files, write

from vitreous.errors import InputError
from vitreous.project import node_types as types
from vitreous.project.aliases import set_alias
from vitreous.project.exchange import export_scheduled, import_scheduled
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status


def scheduled(root: Path) -> ProjectFolder:
    """Add to the chain a Class2D job of its particles, and a Select job of that."""
    folder = chain(root)
    with folder.edit("scheduling") as pipeline:
        a = pipeline.add_process("Class2D", "relion.class2d", Status.SCHEDULED)
        b = pipeline.add_process("Select", "relion.select.interactive", Status.SCHEDULED)
        optimiser = f"{a.name}run_it025_optimiser.star"
        pipeline.add_input(a.name, "Extract/job004/particles.star", types.PARTICLES)
        pipeline.add_output(a.name, optimiser, types.OPTIMISER)
        pipeline.add_input(b.name, optimiser, types.OPTIMISER)
    write(root, [f"{b.name}job.star"], f"fn_model {optimiser}\nfn_other Old{optimiser}\n")
    return folder


def test_options_graph_and_names_arrive_in_another_project(tmp_path: Path) -> None:
    folder = scheduled(tmp_path / "a")
    exported = export_scheduled(folder, "recipe")
    assert exported == tmp_path / "a/ExportJobs/recipe"
    assert (
        "Class2D/exp001/run_it025_optimiser.star"
        in (exported / "Select/exp002/job.star").read_text()
    )

    other = chain(tmp_path / "b", form="3.1")
    with other.edit("x") as pipeline:
        pipeline.add_process("Import", "relion.import", Status.RUNNING)
    new = import_scheduled(other, exported)
    assert [(process.name, process.status) for process in new] == [
        ("Class2D/job007/", Status.SCHEDULED),
        ("Select/job008/", Status.SCHEDULED),
    ]
    pipeline = ProjectFolder(other.root).read()
    assert pipeline.parents("Select/job008/") == ["Class2D/job007/"]
    assert pipeline.parents("Class2D/job007/") == ["Extract/job004/"]
    assert (other.root / "Select/job008/job.star").read_text() == (
        "fn_model Class2D/job007/run_it025_optimiser.star\n"
        "fn_other OldClass2D/job006/run_it025_optimiser.star\n"
    )


def test_all_that_stops_an_export_is_told_at_once(tmp_path: Path) -> None:
    folder = scheduled(tmp_path)
    set_alias(folder, 6, "named")
    before = files(tmp_path)
    with pytest.raises(InputError) as caught:
        export_scheduled(folder, "../out")
    assert "letters, digits" in str(caught.value)
    assert "Class2D/job006/ (Class2D/named/)" in str(caught.value)
    with pytest.raises(InputError, match="no scheduled job"):
        export_scheduled(ProjectFolder.create(tmp_path / "empty"), "x")
    assert [name for name in files(tmp_path) if not name.startswith("empty")] == before


def test_a_broken_export_changes_nothing(tmp_path: Path) -> None:
    exported = export_scheduled(scheduled(tmp_path / "a"), "recipe")
    other = chain(tmp_path / "b")
    before = files(other.root)
    (exported / "Select/exp002/job_pipeline.star").unlink()
    with pytest.raises(InputError, match="Select/exp002/"):
        import_scheduled(other, exported / "exported.star")
    (exported / "exported.star").write_text(
        "data_\n\nloop_\n_rlnPipeLineProcessName #1\n../x/exp001/\n"
    )
    with pytest.raises(InputError, match="no exported jobs"):
        import_scheduled(other, exported)
    assert files(other.root) == before
