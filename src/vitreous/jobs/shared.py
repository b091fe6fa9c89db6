"""Tabs that several job types share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from vitreous.jobs import common
from vitreous.jobs.declare import option, tab


@tab("Running")
class Running:
    """Ranks, threads and queue: on every job.

    Parameters
    ----------
    queue_extras
        Texts of the fields that a site adds to the queue form, by ``qsub_extraN``.
    """

    n_ranks: int = option(
        default=1,
        key="nr_mpi",
        label="Number of ranks",
        relion_label="Number of MPI procs:",
        help="Processes that share the work. One process uses all its threads, so more than one "
        "helps mainly across several nodes of a cluster. Of a refinement each uses one GPU.",
        low=1,
        high=64,
        step=1,
        at_least=1,
        on_continue="free",
        default_env="RELION_QSUB_NRMPI",
        high_env="RELION_MPI_MAX",
    )
    n_threads: int = option(
        default=1,
        key="nr_threads",
        label="Number of threads",
        relion_label="Number of threads:",
        help="Processor cores that each rank uses. On one computer without a queue the number "
        "of its physical cores is a good choice.",
        low=1,
        high=16,
        step=1,
        at_least=1,
        on_continue="free",
        default_env="RELION_QSUB_NRTHREADS",
        high_env="RELION_THREAD_MAX",
    )
    use_queue: bool = option(
        default=False,
        key="do_queue",
        label="Submit to the queue",
        relion_label="Submit to queue?",
        help="Send the job to the cluster's scheduler with a submission script instead of "
        "running it on this computer.",
        on_continue="free",
        default_env="RELION_QUEUE_USE",
    )
    queue_name: str = option(
        default="openmpi",
        key="queuename",
        label="Queue",
        relion_label="Queue name: ",
        help="Queue or partition to submit to. It replaces XXXqueueXXX in the script.",
        when="use_queue",
        on_continue="free",
        default_env="RELION_QUEUE_NAME",
    )
    submit_command: str = option(
        default="sbatch",
        key="qsub",
        label="Submit command",
        relion_label="Queue submit command:",
        help="Command that takes the submission script: sbatch for Slurm, qsub for others.",
        when="use_queue",
        on_continue="free",
        default_env="RELION_QSUB_COMMAND",
    )
    submit_template: str = option(
        default="",
        key="qsubscript",
        label="Submission script template",
        relion_label="Standard submission script:",
        help="Script with placeholders such as XXXcommandXXX, which is filled in and submitted. "
        "Ask who runs the cluster, or set RELION_QSUB_TEMPLATE once for everybody.",
        pattern="Script Files (*.{csh,sh,bash,script})",
        directory=".",
        when="use_queue",
        on_continue="free",
        default_env="RELION_QSUB_TEMPLATE",
    )
    min_cores_per_node: int = option(
        default=1,
        key="min_dedicated",
        label="Cores per node",
        relion_label="Minimum dedicated cores per node:",
        help="Cores that the scheduler hands out together. The number of nodes asked for is "
        "ranks times threads divided by this, rounded up.",
        low=1,
        high=64,
        step=1,
        at_least=1,
        when="use_queue",
        on_continue="free",
        default_env="RELION_MINIMUM_DEDICATED",
    )
    other_arguments: str = option(
        default="",
        key="other_args",
        label="Additional arguments",
        relion_label="Additional arguments:",
        help="Text added to the end of the command, for what the form does not offer. "
        "Usually empty.",
        on_continue="free",
    )
    queue_extras: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@tab("CTF")
class CtfModel:
    """How the contrast transfer function is treated."""

    correct_ctf: bool = option(
        default=True,
        key="do_ctf_correction",
        label="Correct for the CTF",
        relion_label="Do CTF-correction?",
        help="Model the contrast transfer function of every image. Yes, unless the images were "
        "phase-flipped or have no CTF information.",
    )
    ignore_ctf_before_first_peak: bool = option(
        default=False,
        key="ctf_intact_first_peak",
        label="Ignore the CTF before its first peak",
        relion_label="Ignore CTFs until first peak?",
        help="Leave amplitudes alone from zero to the first maximum of the CTF. Worth a try if "
        "classes are lost in low-resolution background; then use it in later jobs too.",
        when="correct_ctf",
    )


@tab("Reference")
class Reference:
    """The map that a refinement starts from."""

    is_absolute_greyscale: bool = option(
        default=False,
        key="ref_correct_greyscale",
        label="Reference is on absolute greyscale",
        relion_label="Ref. map is on absolute greyscale?",
        help="Yes if the reference was reconstructed from these particles or ones scaled alike. "
        "No compares by correlation in the first iteration, which any other map needs.",
    )
    resize_reference: bool = option(
        default=True,
        key="trust_ref_size",
        label="Resize the reference if needed",
        relion_label="Resize reference if needed?",
        help="Rescale and re-box the reference, and the mask, where pixel or box size differ "
        "from the particles. With No a difference stops the job.",
    )
    initial_low_pass_A: float = option(
        default=60,
        key="ini_high",
        label="Initial low-pass filter (Å)",
        relion_label="Initial low-pass filter (A):",
        help="The reference is filtered to this resolution first, so that its details do not "
        "bias the result: 40 to 60 Å is usual. 0 filters nothing.",
        low=0,
        high=200,
        step=5,
        off=0,
    )
    point_group: str = option(
        default="C1",
        like=common.POINT_GROUP,
        help="Point group of the particle: C1, C4, D2, T, O, I1 and so on. When in doubt run in "
        "C1 first and look.",
    )


@tab("Helix")
class Helix3D:
    """A helix or filament in three dimensions."""

    is_helix: bool = option(
        default=False,
        key="do_helix",
        label="Helical reconstruction",
        relion_label="Do helical reconstruction?",
        help="The particles are segments of a helix or filament.",
    )
    inner_diameter_A: float = option(
        default=-1,
        key="helical_tube_inner_diameter",
        row="Tube diameter (Å)",
        label="Inner diameter of the tube (Å)",
        relion_label="Tube diameter - inner (A):",
        help="Inside this diameter the tube is empty. -1 for a filled one.",
        off=-1,
        when="is_helix",
    )
    outer_diameter_A: float = option(
        default=-1,
        key="helical_tube_outer_diameter",
        row="Tube diameter (Å)",
        label="Outer diameter of the tube (Å)",
        relion_label="Tube diameter - outer (A):",
        help="Outer diameter of the tube, a little generous, and smaller than the mask diameter.",
        off=-1,
        when="is_helix",
    )
    search_rot_deg: float = option(
        default=-1,
        key="range_rot",
        row="Angular search range (°)",
        label="Search range of rot (°)",
        relion_label="Angular search range - rot (deg):",
        help="Range around the prior value of rot. -1 searches all of it, which is usual.",
        off=-1,
        when="is_helix",
    )
    search_tilt_deg: float = option(
        default=15,
        key="range_tilt",
        row="Angular search range (°)",
        label="Search range of tilt (°)",
        relion_label="Angular search range - tilt (deg):",
        help="Range around the prior value of tilt, which is near 90° for filaments that lie "
        "flat. 15° is usual.",
        off=-1,
        when="is_helix",
    )
    search_psi_deg: float = option(
        default=10,
        key="range_psi",
        row="Angular search range (°)",
        label="Search range of psi (°)",
        relion_label="Angular search range - psi (deg):",
        help="Range around the in-plane angle of the filament. 10° is usual.",
        off=-1,
        when="is_helix",
    )
    local_averaging_range: float = option(
        default=-1,
        key="helical_range_distance",
        label="Range of local averaging",
        relion_label="Range factor of local averaging:",
        help="Average orientations with neighbours along the tube, within this many box "
        "lengths. -1 is off; 2 or more helps noisy segments.",
        low=1,
        high=5,
        step=0.1,
        off=-1,
        when="is_helix",
    )
    keep_tilt_prior: bool = option(
        default=True,
        key="keep_tilt_prior_fixed",
        label="Keep the prior of tilt",
        relion_label="Keep tilt-prior fixed:",
        help="Keep the prior of tilt as it came in, so that segments do not drift out of the "
        "plane of the ice.",
        when="is_helix",
    )
    apply_helical_symmetry: bool = option(
        default=True,
        key="do_apply_helical_symmetry",
        label="Apply helical symmetry",
        relion_label="Apply helical symmetry?",
        help="Impose twist and rise in every iteration. No treats the tube as a single particle.",
        when="is_helix",
    )
    n_asymmetric_units: int = option(
        default=1,
        like=common.N_ASYMMETRIC_UNITS,
        help="How many asymmetric units a box brings that its neighbours do not: distance "
        "between boxes divided by rise.",
        when="is_helix and apply_helical_symmetry",
    )
    twist_deg: float = option(
        default=0,
        key="helical_twist_initial",
        row="Twist (°) and rise (Å)",
        label="Helical twist (°)",
        relion_label="Initial helical twist (deg):",
        help="Twist to start from. Positive is right-handed.",
        when="is_helix and apply_helical_symmetry",
    )
    rise_A: float = option(
        default=0,
        key="helical_rise_initial",
        row="Twist (°) and rise (Å)",
        label="Helical rise (Å)",
        relion_label="Initial helical rise (A):",
        help="Rise to start from, positive.",
        when="is_helix and apply_helical_symmetry",
    )
    central_z_percent: float = option(
        default=30,
        like=common.CENTRAL_Z,
        help="Part of the box along the axis that is used to find and impose the symmetry. "
        "About 30 %: the ends are worse.",
        when="is_helix and apply_helical_symmetry",
    )
    refine_helical_symmetry: bool = option(
        default=False,
        key="do_local_search_helical_symmetry",
        label="Refine twist and rise",
        relion_label="Do local searches of symmetry?",
        help="Search twist and rise within the ranges below in every iteration.",
        when="is_helix",
    )
    twist_min_deg: float = option(
        default=0,
        key="helical_twist_min",
        row="Twist search (°)",
        label="Smallest twist (°)",
        relion_label="Helical twist search (deg) - Min:",
        help="Lower end of the search for the twist.",
        when="is_helix and refine_helical_symmetry",
    )
    twist_max_deg: float = option(
        default=0,
        key="helical_twist_max",
        row="Twist search (°)",
        label="Largest twist (°)",
        relion_label="Helical twist search (deg) - Max:",
        help="Upper end of the search for the twist.",
        when="is_helix and refine_helical_symmetry",
    )
    twist_step_deg: float = option(
        default=0,
        key="helical_twist_inistep",
        row="Twist search (°)",
        label="First step of twist (°)",
        relion_label="Helical twist search (deg) - Step:",
        help="First step of the search; 0 chooses one.",
        off=0,
        when="is_helix and refine_helical_symmetry",
    )
    rise_min_A: float = option(
        default=0,
        key="helical_rise_min",
        row="Rise search (Å)",
        label="Smallest rise (Å)",
        relion_label="Helical rise search (A) - Min:",
        help="Lower end of the search for the rise.",
        when="is_helix and refine_helical_symmetry",
    )
    rise_max_A: float = option(
        default=0,
        key="helical_rise_max",
        row="Rise search (Å)",
        label="Largest rise (Å)",
        relion_label="Helical rise search (A) - Max:",
        help="Upper end of the search for the rise.",
        when="is_helix and refine_helical_symmetry",
    )
    rise_step_A: float = option(
        default=0,
        key="helical_rise_inistep",
        row="Rise search (Å)",
        label="First step of rise (Å)",
        relion_label="Helical rise search (A) - Step:",
        help="First step of the search; 0 chooses one.",
        off=0,
        when="is_helix and refine_helical_symmetry",
    )


@tab("Compute")
class Compute:
    """Memory, disk and graphics cards."""

    parallel_disk_reads: bool = option(
        default=True,
        key="do_parallel_discio",
        label="Read in parallel",
        relion_label="Use parallel disc I/O?",
        help="Every rank reads its own images. Choose No where many readers slow the disk down; "
        "then rank 0 reads for all.",
        on_continue="free",
    )
    n_pooled: int = option(
        default=3,
        key="nr_pool",
        label="Particles read together",
        relion_label="Number of pooled particles:",
        help="How many particles are read together for each thread. Larger numbers suit slow, "
        "parallel disks.",
        low=1,
        high=16,
        step=1,
        at_least=1,
        on_continue="free",
    )
    skip_padding: bool = option(
        default=False,
        key="do_pad1",
        label="Skip padding",
        relion_label="Skip padding?",
        help="Do not pad the references in Fourier space. It takes an eighth of the memory and "
        "makes small artefacts near the edge of the box.",
        on_continue="free",
    )
    preread_images: bool = option(
        default=False,
        key="do_preread_images",
        label="Read all particles into memory",
        relion_label="Pre-read all particles into RAM?",
        help="Keep all particles in memory: fast, where they fit. 100,000 particles of 200 "
        "pixels take 16 GB.",
        on_continue="free",
    )
    scratch_folder: str = option(
        default="",
        key="scratch_dir",
        label="Scratch folder",
        relion_label="Copy particles to scratch directory:",
        help="Fast local folder, such as an SSD, to copy the particles to before the job "
        "starts; removed afterwards. Empty uses none.",
        when="not preread_images",
        on_continue="free",
        default_env="RELION_SCRATCH_DIR",
    )
    combine_through_disk: bool = option(
        default=False,
        key="do_combine_thru_disc",
        label="Combine iterations through the disk",
        relion_label="Combine iterations through disc?",
        help="Ranks exchange sums through files instead of the network. Only for networks that "
        "cannot carry large messages.",
        on_continue="free",
    )
    use_gpu: bool = option(default=False, like=common.USE_GPU)
    gpu_ids: str = option(default="", like=common.GPU_IDS, when="use_gpu")
