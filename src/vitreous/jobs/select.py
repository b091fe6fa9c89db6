"""Subset selection: choose classes, micrographs or particles."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from vitreous.errors import Problem
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import needed
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup
from vitreous.project.node_types import IMAGES_2D, LOG_PDF, MICROGRAPHS, OPTIMISER, PARTICLES


@job(
    "relion.select",
    folder="Select",
    gui_name="Subset selection",
    number=7,
    hidden_prefix=".gui_select",
    place=12,
    queue=False,
)
class Select(Options):
    """Choose classes, micrographs or particles, by eye or by value."""

    optimiser: str = option(
        default="",
        key="fn_model",
        label="Classes of a job",
        relion_label="Select classes from job:",
        help="Optimiser file of a classification, whose classes are shown for selection or ranked.",
        reads=OPTIMISER,
        pattern="STAR files (*_optimiser.star)",
    )
    micrographs: str = option(
        default="",
        key="fn_mic",
        label="Micrographs",
        relion_label="OR select from micrographs.star:",
        help="Micrographs to select from. Give one of the three inputs.",
        reads=MICROGRAPHS,
        pattern="STAR files (*.star)",
    )
    particles: str = option(
        default="",
        key="fn_data",
        label="Particles",
        relion_label="OR select from particles.star:",
        help="Particles to select from. Give one of the three inputs.",
        reads=PARTICLES,
        pattern="STAR files (*.star)",
    )
    rank_classes: bool = option(
        default=False,
        key="do_class_ranker",
        tab="Class options",
        label="Select 2D classes automatically",
        relion_label="Automatically select 2D classes?",
        help="Score every 2D class and keep those above the threshold.",
    )
    min_score: float = option(
        default=0.5,
        key="rank_threshold",
        tab="Class options",
        label="Smallest score",
        relion_label="Minimum threshold for auto-selection: ",
        help="Classes with a score from this on are kept: 0.5 for a clean set, about 0.2 to "
        "keep rare views.",
        low=0,
        high=1,
        step=0.05,
        when="rank_classes",
    )
    min_particles: int = option(
        default=-1,
        key="select_nr_parts",
        tab="Class options",
        label="At least so many particles",
        relion_label="Select at least this many particles: ",
        help="Lower the threshold until so many particles are selected. -1 is off.",
        low=-1,
        high=10000,
        step=500,
        off=-1,
        when="rank_classes",
    )
    min_classes: int = option(
        default=-1,
        key="select_nr_classes",
        tab="Class options",
        label="At least so many classes",
        relion_label="OR: select at least this many classes: ",
        help="Lower the threshold until so many classes are selected. -1 is off.",
        low=-1,
        high=24,
        step=1,
        off=-1,
        when="rank_classes",
    )
    recenter: bool = option(
        default=False,
        key="do_recenter",
        tab="Class options",
        label="Centre the class averages",
        relion_label="Re-center the class averages?",
        help="Shift selected 2D averages to the centre of mass of their positive pixels. For "
        "templates of auto-picking.",
    )
    regroup: bool = option(
        default=False,
        key="do_regroup",
        tab="Class options",
        label="Regroup the particles",
        relion_label="Regroup the particles?",
        help="Join micrographs with few particles into groups for intensity scaling.",
    )
    n_groups: int = option(
        default=1,
        key="nr_groups",
        tab="Class options",
        label="Number of groups",
        relion_label="Approximate nr of groups: ",
        help="About how many groups to make. Each should hold 20 particles or more.",
        low=1,
        high=50,
        step=1,
        at_least=1,
        when="regroup",
    )
    select_by_value: bool = option(
        default=False,
        key="do_select_values",
        tab="Subsets",
        label="Select by a value",
        relion_label="Select based on metadata values?",
        help="Keep rows whose value in a column lies within limits.",
    )
    value_label: str = option(
        default="rlnCtfMaxResolution",
        key="select_label",
        tab="Subsets",
        label="Column",
        relion_label="Metadata label for subset selection:",
        help="Label of the column: rlnCtfMaxResolution for micrographs, "
        "rlnMaxValueProbDistribution for particles and so on.",
        when="select_by_value",
    )
    min_value: float = option(
        default=-9999,
        key="select_minval",
        tab="Subsets",
        label="Smallest value",
        relion_label="Minimum metadata value:",
        help="Rows below are dropped.",
        when="select_by_value",
    )
    max_value: float = option(
        default=9999,
        key="select_maxval",
        tab="Subsets",
        label="Largest value",
        relion_label="Maximum metadata value:",
        help="Rows above are dropped.",
        when="select_by_value",
    )
    discard_outliers: bool = option(
        default=False,
        key="do_discard",
        tab="Subsets",
        label="Select on image statistics",
        relion_label="OR: select on image statistics?",
        help="Drop images whose mean or standard deviation of pixels lies far from that of the "
        "others.",
    )
    image_label: str = option(
        default="rlnImageName",
        key="discard_label",
        tab="Subsets",
        label="Column with the images",
        relion_label="Metadata label for images:",
        help="Label of the column that names the images: rlnImageName or rlnMicrographName.",
        when="discard_outliers",
    )
    outlier_sigma: float = option(
        default=4,
        key="discard_sigma",
        tab="Subsets",
        label="Allowed deviation (standard deviations)",
        relion_label="Sigma-value for discarding images:",
        help="Images farther from the average than this are dropped. 4 is usual.",
        low=1,
        high=10,
        step=0.1,
        at_least=0,
        when="discard_outliers",
    )
    split: bool = option(
        default=False,
        key="do_split",
        tab="Subsets",
        label="Split into subsets",
        relion_label="OR: split into subsets?",
        help="Divide the rows into several files.",
    )
    shuffle: bool = option(
        default=False,
        key="do_random",
        tab="Subsets",
        label="Shuffle first",
        relion_label="Randomise order before making subsets?:",
        help="Put the rows in random order before splitting.",
        when="split",
    )
    subset_size: int = option(
        default=100,
        key="split_size",
        tab="Subsets",
        label="Rows per subset",
        relion_label="Subset size: ",
        help="Rows in every subset. -1 computes it from the number of subsets.",
        low=100,
        high=10000,
        step=100,
        off=-1,
        when="split",
    )
    n_subsets: int = option(
        default=-1,
        key="nr_split",
        tab="Subsets",
        label="Number of subsets",
        relion_label="OR: number of subsets: ",
        help="How many subsets to make. -1 makes as many as needed for all rows.",
        low=1,
        high=50,
        step=1,
        off=-1,
        when="split",
    )
    remove_duplicates: bool = option(
        default=False,
        key="do_remove_duplicates",
        tab="Duplicates",
        label="Remove duplicates",
        relion_label="OR: remove duplicates?",
        help="Of particles that lie closer together than the distance below, keep one.",
    )
    min_distance_A: float = option(
        default=30,
        key="duplicate_threshold",
        tab="Duplicates",
        label="Smallest distance (Å)",
        relion_label="Minimum inter-particle distance (A)",
        help="Particles of a micrograph closer than this are duplicates. A third of the "
        "particle is usual.",
        low=0,
        high=1000,
        step=1,
        at_least=0,
        when="remove_duplicates",
    )
    micrograph_pixel_size_A: float = option(
        default=-1,
        key="image_angpix",
        tab="Duplicates",
        label="Pixel size before extraction (Å)",
        relion_label="Pixel size before extraction (A)",
        help="Pixel size of the micrographs. -1 takes it from the file.",
        low=-1,
        high=10,
        step=0.01,
        off=-1,
        when="remove_duplicates",
    )
    cluster_filaments: bool = option(
        default=False,
        key="do_filaments",
        tab="Filaments",
        label="Select filaments by dendrogram",
        relion_label="OR: select filaments by dendrogram?",
        help="Cluster filaments by the 2D classes that their segments fall into.",
    )
    dendrogram_threshold: float = option(
        default=0.85,
        key="dendrogram_threshold",
        tab="Filaments",
        label="Height of the cut",
        relion_label="Dendrogram threshold: ",
        help="Where the tree is cut, from 0 to 1. Lower gives more clusters.",
        low=0,
        high=1,
        step=0.05,
        when="cluster_filaments",
        on_continue="free",
    )
    min_cluster_size: int = option(
        default=-1000,
        key="dendrogram_minclass",
        tab="Filaments",
        label="Smallest cluster (segments)",
        relion_label="Minimum class size: ",
        help="Write clusters of at least this many segments as particle files. A negative "
        "number writes none.",
        low=-1000,
        high=50000,
        step=1000,
        off=-1000,
        when="cluster_filaments",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks", "n_threads"))

    @property
    def mode(self) -> str:
        """Which of its tasks the job does; the first that is switched on."""
        modes = {
            "filaments": self.cluster_filaments,
            "duplicates": self.remove_duplicates,
            "values": self.select_by_value,
            "discard": self.discard_outliers,
            "split": self.split,
            "ranker": self.rank_classes,
        }
        return next((mode for mode, is_on in modes.items() if is_on), "display")

    @property
    def is_interactive(self) -> bool:
        """Whether a person chooses; not where ``--classes`` among the arguments has chosen."""
        return self.mode == "display" and "--classes" not in self.running.other_arguments

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if not (self.optimiser or self.micrographs or self.particles):
            yield Problem(
                "", "nothing to select from; give classes of a job, micrographs or particles"
            )
        tasks = (
            self.select_by_value,
            self.discard_outliers,
            self.split,
            self.remove_duplicates,
            self.cluster_filaments,
        )
        if sum(tasks) > 1:
            yield Problem("", "several tasks are switched on; a job does one")
        yield from self._check_source()
        if self.mode == "split" and self.n_subsets <= 0 and self.subset_size <= 0:
            yield Problem("subset_size", "give rows per subset, or the number of subsets")
        if self.mode == "ranker" and (self.regroup or self.recenter):
            yield Problem("rank_classes", "ranking cannot regroup or centre; switch those off")
        if self.regroup and not self.optimiser:
            yield Problem("regroup", "needs the optimiser file of a classification")
        if self.mode == "values" and start.project is not None:
            yield from self._check_column(start.project / (self.micrographs or self.particles))

    def _check_column(self, path: Path) -> Iterator[Problem]:
        from vitreous.io.star_labels import main_labels  # io loads NumPy, a list of types must not

        labels = main_labels(path)
        if labels and self.value_label not in labels:
            near = get_close_matches(self.value_label, labels, 3, 0.5) or labels
            yield Problem(
                "value_label",
                f"{path.name} has no column {self.value_label}; it has {', '.join(near)}",
            )

    def _check_source(self) -> Iterator[Problem]:
        others = {
            "filaments": self.micrographs or self.particles,
            "duplicates": self.micrographs or self.optimiser,
            "values": self.optimiser,
            "discard": self.optimiser,
            "split": self.optimiser,
        }.get(self.mode, "")
        takes = {
            "filaments": "an optimiser file and nothing else",
            "duplicates": "a particles file and nothing else",
        }.get(self.mode, "micrographs or particles, no classes")
        if others:
            yield Problem("", f"{others} is given too; this task takes {takes}")
        if self.mode in ("filaments", "ranker"):
            yield from needed(self, "optimiser", "for this task")
        if self.mode == "duplicates":
            yield from needed(self, "particles", "for this task")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        yield {
            "filaments": "filamentsdendrogram",
            "duplicates": "removeduplicates",
            "values": "onvalue",
            "ranker": "class2dauto",
            "display": "interactive",
        }.get(self.mode, self.mode)

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the one file that is selected from."""
        if self.mode in ("filaments", "ranker"):
            yield Input("optimiser")
        elif self.mode == "duplicates":
            yield Input("particles")
        elif self.mode == "display" and self.optimiser:
            yield Input("optimiser")
        else:
            yield Input("micrographs" if self.micrographs else "particles")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield what is kept; the parts of a split are found when it has ended."""
        if self.mode == "filaments":
            yield Output("run_optimiser.star", f"{OPTIMISER}.select")
            yield Output("logfile.pdf", f"{LOG_PDF}.select")
        elif self.mode == "display":
            yield from self._chosen()
        elif self.mode in ("values", "discard"):
            yield self._rows(of_micrographs=bool(self.micrographs))
        elif self.mode != "split":
            yield self._rows(of_micrographs=False)
        if self.mode == "ranker":
            yield Output("class_averages.star", f"{IMAGES_2D}.classaverages")
            yield Output("rank_optimiser.star", f"{OPTIMISER}.select")

    def _chosen(self) -> Iterator[Output]:
        yield self._rows(of_micrographs=bool(self.micrographs and not self.optimiser))
        if "Class2D/" in self.optimiser:
            yield Output("class_averages.star", f"{IMAGES_2D}.classaverages")

    def _rows(self, *, of_micrographs: bool) -> Output:
        if of_micrographs:
            return Output("micrographs.star", MICROGRAPHS)
        return Output("particles.star", PARTICLES)

    def cleanup(self) -> Cleanup:
        """Refuse cleaning: what was chosen by hand cannot be made again."""
        return Cleanup(refused=True)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "selected", "Selected")
        yield Result("headline", "total", "Out of")
        if self.mode in ("values", "discard"):
            yield Result("plot", "values", "Distribution of the values")
        if self.mode == "ranker":
            yield Result("headline", "classes", "Selected classes")
            yield Result("plot", "scores", "Scores of the classes")
