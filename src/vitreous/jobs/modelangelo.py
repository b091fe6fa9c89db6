"""ModelAngelo building: an atomic model from a map."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs.declare import Input, Options, Output, Start, Words, job, option, shared
from vitreous.jobs.needs import needed
from vitreous.jobs.shared import Running
from vitreous.project.node_types import DENSITY_MAP, MODEL, SEQUENCE

ALPHABETS = ("amino", "DNA", "RNA")
HMMER_FILTER = Words(
    tab="HMMER",
    low=0,
    high=10,
    step=0.1,
    at_least=0,
    when="search_sequences",
    on_continue="free",
)


@job(
    "modelangelo",
    folder="ModelAngelo",
    gui_name="ModelAngelo building",
    number=23,
    hidden_prefix=".gui_modelangelo",
    place=21,
)
class ModelAngelo(Options):
    """Build an atomic model into a map with a neural network."""

    map: str = option(
        default="",
        key="fn_map",
        label="Map",
        relion_label="B-factor sharpened map:",
        help="Sharpened map, better than about 4 Å.",
        reads=DENSITY_MAP,
        pattern="MRC map files (*.mrc)",
    )
    protein_sequences: str = option(
        default="",
        key="p_seq",
        label="Protein sequences",
        relion_label="FASTA sequence for proteins:",
        help="FASTA file with the proteins of the sample. Without any sequence they are guessed "
        "from the map.",
        reads=SEQUENCE,
        pattern="FASTA sequence files (*.{fasta,txt})",
    )
    dna_sequences: str = option(
        default="",
        key="d_seq",
        label="DNA sequences",
        relion_label="FASTA sequence for DNA:",
        help="FASTA file. May be empty.",
        reads=SEQUENCE,
        pattern="FASTA sequence files (*.{fasta,txt})",
    )
    rna_sequences: str = option(
        default="",
        key="r_seq",
        label="RNA sequences",
        relion_label="FASTA sequence for RNA:",
        help="FASTA file. May be empty.",
        reads=SEQUENCE,
        pattern="FASTA sequence files (*.{fasta,txt})",
    )
    modelangelo_program: str = option(
        default="relion_python_modelangelo",
        key="fn_modelangelo_exe",
        label="ModelAngelo program",
        relion_label="ModelAngelo executable:",
        help="Command that starts ModelAngelo.",
    )
    gpu_id: str = option(
        default="0",
        key="gpu_id",
        label="Which GPUs",
        relion_label="Which GPUs to use:",
        help="GPUs, separated by commas.",
    )
    search_sequences: bool = option(
        default=False,
        key="do_hhmer",
        tab="HMMER",
        label="Search sequences",
        relion_label="Perform HMMer search?",
        help="Find which proteins of a library the built chains are, with HMMER.",
        on_continue="free",
    )
    sequence_library: str = option(
        default="",
        key="fn_lib",
        tab="HMMER",
        label="Library of sequences",
        relion_label="Library with sequences for HMMer search:",
        help="FASTA file to search, such as the proteome of the organism.",
        reads=SEQUENCE,
        pattern="FASTA sequence files (*.{fasta,txt})",
        when="search_sequences",
        on_continue="free",
    )
    alphabet: str = option(
        default="amino",
        key="alphabet",
        tab="HMMER",
        label="Kind of sequences",
        relion_label="Alphabet for the HMMer search:",
        help="Proteins, DNA or RNA.",
        choices=ALPHABETS,
        when="search_sequences",
        on_continue="free",
    )
    f1: float = option(
        default=0.02,
        like=HMMER_FILTER,
        key="F1",
        label="Filter F1",
        relion_label="HMMSearch F1: ",
        help="P-value of the first filter of HMMER. Larger finds more and is slower.",
    )
    f2: float = option(
        default=0.001,
        like=HMMER_FILTER,
        key="F2",
        label="Filter F2",
        relion_label="HMMSearch F2: ",
        help="P-value of the second filter.",
    )
    f3: float = option(
        default=1e-05,
        like=HMMER_FILTER,
        key="F3",
        label="Filter F3",
        relion_label="HMMSearch F3: ",
        help="P-value of the third filter.",
    )
    e_value: float = option(
        default=10,
        key="E",
        tab="HMMER",
        label="E-value",
        relion_label="HMMSearch E: ",
        help="Hits expected by chance that are still reported. 10 is usual.",
        low=0,
        high=100,
        step=10,
        at_least=0,
        when="search_sequences",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks", "n_threads"))

    def builds(self, start: Start) -> bool:
        """Tell whether a model is built; a continued job that has one only searches."""
        return start.is_new or start.project is None or not start.exists(self._model(start))

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.search_sequences:
            yield from needed(self, "sequence_library", "to search")

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield map and sequences of a model that is built."""
        if self.builds(start):
            for name in ("map", "protein_sequences", "dna_sequences", "rna_sequences"):
                yield Input(name)

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the model, which is named after the job."""
        if self.builds(start):
            yield Output(f"{_job_name(start)}.cif", MODEL)

    def _model(self, start: Start) -> str:
        return f"{start.folder}{_job_name(start)}.cif"


def _job_name(start: Start) -> str:
    return start.folder.rstrip("/").rpartition("/")[2]
