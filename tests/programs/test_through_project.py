"""Import, Select and JoinStar run as real jobs of a project, each in its own process."""

import subprocess

import numpy as np
import pytest

import vitreous
from vitreous.io import read_star

PARTICLES = "Particles STAR file (.star)"


@pytest.fixture
def project(tmp_path, data):
    (tmp_path / "Extract").symlink_to(data / "betagal_10204/Extract")
    for name in ("particles_as_extracted", "particles_consensus"):
        star = (data / f"betagal_10204/{name}.star").read_bytes()
        (tmp_path / f"{name}.star").write_bytes(star)
    return vitreous.Project.create(tmp_path)


def import_particles(project, file, **values):
    kind = {"import_images": False, "import_other": True, "other_kind": PARTICLES}
    return project.run("import", **kind, other_file=file, **values)


@pytest.mark.usefixtures("relion")
def test_particles_are_imported_split_and_joined(project):
    imported = import_particles(project, "particles_consensus.star")
    assert imported.status == "Succeeded"
    assert imported.results["imported"] == 684
    (warning,) = imported.results["warnings"]
    assert warning["units"] == ["mtf_k2_200kV.star"]  # the data folder has no such file
    assert (imported.path / "plots/power_spectrum.json").exists()
    assert (imported.path / "run.err").read_text() == ""

    particles = imported.outputs["particles"]
    split = project.run("select", particles=particles, split=True, shuffle=True, subset_size=250)
    parts = [project.root / f"Select/job002/particles_split{i}.star" for i in (1, 2, 3)]
    assert [split.outputs[part.name] for part in parts] == parts
    assert split.results["subsets"] == 3

    files = {f"particles_{i}": part for i, part in enumerate(parts, start=1)}
    joined = project.run("joinstar", join_particles=True, **files)
    rows = read_star(project.root / "JoinStar/job003/join_particles.star")["particles"]
    everything = read_star(project.root / "particles_consensus.star")["particles"]
    order = np.argsort(rows["rlnImageName"].astype(str))
    again = rows.select(order)
    assert again == everything.select(np.argsort(everything["rlnImageName"].astype(str)))
    assert joined.results["duplicates"] == 0

    command = ["relion_star_handler", "--i", "JoinStar/job003/join_particles.star", "--o", "r.star"]
    flags = ["--select", "rlnDefocusU", "--minval", "0"]
    subprocess.run([*command, *flags], cwd=project.root, check=True, capture_output=True)
    assert len(read_star(project.root / "r.star")["particles"]) == 684


def test_a_wrong_ctf_is_a_warning_in_the_results(project):
    imported = import_particles(project, "particles_as_extracted.star")
    assert imported.status == "Succeeded"
    (_, warning) = imported.results["warnings"]
    assert "do not show the CTF of their rows" in warning["what"]
    assert {plot["name"] for plot in imported.results["plots"]} == {
        "power_spectrum",
        "defocus_check",
    }
