"""Join star files: several lists become one."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup
from vitreous.project.node_types import MICROGRAPHS, MOVIES, PARTICLES


@job(
    "relion.joinstar",
    folder="JoinStar",
    gui_name="Join star files",
    number=13,
    hidden_prefix=".gui_joinstar",
    place=17,
)
class JoinStar(Options):
    """Join several lists of particles, micrographs or movies to one."""

    join_particles: bool = option(
        default=False,
        key="do_part",
        tab="Particles",
        label="Join particle files",
        relion_label="Combine particle STAR files?",
        help="Join lists of particles to one. Optics groups of one name become one, and particles "
        "that are listed twice are reported.",
    )
    particles_1: str = option(
        key="fn_part1",
        tab="Particles",
        label="First file",
        relion_label="Particle STAR file 1: ",
        help="First list of particles.",
        reads=PARTICLES,
        pattern="particle STAR file (*.star)",
        when="join_particles",
    )
    particles_2: str = option(
        key="fn_part2",
        tab="Particles",
        label="Second file",
        relion_label="Particle STAR file 2: ",
        help="Second list of particles.",
        reads=PARTICLES,
        pattern="particle STAR file (*.star)",
        when="join_particles",
    )
    particles_3: str = option(
        default="",
        key="fn_part3",
        tab="Particles",
        label="Third file",
        relion_label="Particle STAR file 3: ",
        help="Third list of particles. May be empty.",
        reads=PARTICLES,
        pattern="particle STAR file (*.star)",
        when="join_particles",
    )
    particles_4: str = option(
        default="",
        key="fn_part4",
        tab="Particles",
        label="Fourth file",
        relion_label="Particle STAR file 4: ",
        help="Fourth list of particles. May be empty.",
        reads=PARTICLES,
        pattern="particle STAR file (*.star)",
        when="join_particles",
    )
    join_micrographs: bool = option(
        default=False,
        key="do_mic",
        tab="Micrographs",
        label="Join micrograph files",
        relion_label="Combine micrograph STAR files?",
        help="Join lists of micrographs to one. Optics groups of one name become one, and "
        "micrographs that are listed twice are reported.",
    )
    micrographs_1: str = option(
        key="fn_mic1",
        tab="Micrographs",
        label="First file",
        relion_label="Micrograph STAR file 1: ",
        help="First list of micrographs.",
        reads=MICROGRAPHS,
        pattern="micrograph STAR file (*.star)",
        when="join_micrographs",
    )
    micrographs_2: str = option(
        key="fn_mic2",
        tab="Micrographs",
        label="Second file",
        relion_label="Micrograph STAR file 2: ",
        help="Second list of micrographs.",
        reads=MICROGRAPHS,
        pattern="micrograph STAR file (*.star)",
        when="join_micrographs",
    )
    micrographs_3: str = option(
        default="",
        key="fn_mic3",
        tab="Micrographs",
        label="Third file",
        relion_label="Micrograph STAR file 3: ",
        help="Third list of micrographs. May be empty.",
        reads=MICROGRAPHS,
        pattern="micrograph STAR file (*.star)",
        when="join_micrographs",
    )
    micrographs_4: str = option(
        default="",
        key="fn_mic4",
        tab="Micrographs",
        label="Fourth file",
        relion_label="Micrograph STAR file 4: ",
        help="Fourth list of micrographs. May be empty.",
        reads=MICROGRAPHS,
        pattern="micrograph STAR file (*.star)",
        when="join_micrographs",
    )
    join_movies: bool = option(
        default=False,
        key="do_mov",
        tab="Movies",
        label="Join movie files",
        relion_label="Combine movie STAR files?",
        help="Join lists of movies to one. Optics groups of one name become one, and movies that "
        "are listed twice are reported.",
    )
    movies_1: str = option(
        key="fn_mov1",
        tab="Movies",
        label="First file",
        relion_label="Movie STAR file 1: ",
        help="First list of movies.",
        reads=MOVIES,
        pattern="movie STAR file (*.star)",
        when="join_movies",
    )
    movies_2: str = option(
        key="fn_mov2",
        tab="Movies",
        label="Second file",
        relion_label="Movie STAR file 2: ",
        help="Second list of movies.",
        reads=MOVIES,
        pattern="movie STAR file (*.star)",
        when="join_movies",
    )
    movies_3: str = option(
        default="",
        key="fn_mov3",
        tab="Movies",
        label="Third file",
        relion_label="Movie STAR file 3: ",
        help="Third list of movies. May be empty.",
        reads=MOVIES,
        pattern="movie STAR file (*.star)",
        when="join_movies",
    )
    movies_4: str = option(
        default="",
        key="fn_mov4",
        tab="Movies",
        label="Fourth file",
        relion_label="Movie STAR file 4: ",
        help="Fourth list of movies. May be empty.",
        reads=MOVIES,
        pattern="movie STAR file (*.star)",
        when="join_movies",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks", "n_threads"))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are joined."""
        for word in ("particles", "micrographs", "movies"):
            if self.value(f"join_{word}"):
                files = (str(self.value(f"{word}_{number}")) for number in range(1, 5))
                return tuple(file for file in files if file)
        return ()

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.join_particles + self.join_micrographs + self.join_movies != 1:
            yield Problem("", "switch exactly one on: particles, micrographs or movies")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.join_particles:
            yield "particles"
        if self.join_micrographs:
            yield "micrographs"
        if self.join_movies:
            yield "movies"

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the joined list."""
        if self.join_particles:
            yield Output("join_particles.star", PARTICLES)
        if self.join_micrographs:
            yield Output("join_mics.star", MICROGRAPHS)
        if self.join_movies:
            yield Output("join_movies.star", MOVIES)

    def cleanup(self) -> Cleanup:
        """Refuse cleaning: there is nothing but the list."""
        return Cleanup(refused=True)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "rows", "Rows in the joined file")
        yield Result("headline", "duplicates", "Entries that stand more than once")
        yield Result("headline", "optics_groups", "Optics groups")
