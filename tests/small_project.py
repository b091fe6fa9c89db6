"""A project that tests of actions and of the command line begin with."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from vitreous import Project

SCRIPT = """#!/bin/sh
# An External program: writes particles and tells of them in RELION 3.1's form.
out=$2
echo "working in $out"
printf 'data_particles\\n\\nloop_\\n_rlnImageName #1\\n000001@a.mrcs\\n' > "${out}particles.star"
printf 'data_output_nodes\\n\\nloop_\\n_rlnPipeLineNodeName #1\\n_rlnPipeLineNodeType #2\\n' \\
  > "${out}RELION_OUTPUT_NODES.star"
printf '%s 3\\n' "${out}particles.star" >> "${out}RELION_OUTPUT_NODES.star"
touch "${out}RELION_JOB_EXIT_${ENDING:-SUCCESS}"
"""


def make(root: Path) -> Project:
    """Make a project with an External program in it."""
    project = Project.create(root)
    program = project.root / "make_particles.sh"
    program.write_text(SCRIPT)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return project


def finished_external(project: Project, *, reads: str = "", alias: str | None = None) -> str:
    """Add a finished External job with particles, without running anything."""
    values = {"in_part": reads} if reads else {}
    job = project.run(
        "external", fn_exe="./make_particles.sh", schedule=True, alias=alias, **values
    )
    (job.path / "particles.star").write_text(
        "data_particles\n\nloop_\n_rlnImageName #1\n000001@a.mrcs\n"
    )
    (job.path / "RELION_OUTPUT_NODES.star").write_text(
        "data_output_nodes\n\nloop_\n_rlnPipeLineNodeName #1\n_rlnPipeLineNodeTypeLabel #2\n"
        f"{job.name}particles.star ParticleGroupMetadata.star.relion\n"
    )
    project.mark(job, "finished")
    return job.name


def snapshot(root: Path) -> dict[str, str]:
    """Return every file and folder below a folder, with a checksum: nothing may differ."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
