"""Options that several job types have, each at its own place of the form.

A declaration takes one up with ``option(default=200, like=common.MASK_DIAMETER)`` and adds what
is its own there. What stands in one run in every form is a tab of `vitreous.jobs.shared`.
"""

from __future__ import annotations

from vitreous.jobs.declare import Words
from vitreous.project.node_types import DENSITY_MAP, HALF_MAP, MASK, PARTICLES, POSTPROCESS

# What a refinement starts from.

INPUT_PARTICLES = Words(
    key="fn_img",
    label="Particles",
    relion_label="Input images STAR file:",
    help="Particles to work on, from an Extract, Select or another refinement job.",
    reads=PARTICLES,
    pattern="STAR files (*.star)",
)
IMAGES_OR_STAR = "STAR files (*.star) \t Image stacks (not recommended, read help!) (*.{spi,mrcs})"
REFERENCE_MAP = Words(
    key="fn_ref",
    label="Reference map",
    relion_label="Reference map:",
    reads=DENSITY_MAP,
    pattern="Image Files (*.{spi,vol,mrc})",
)
REFERENCE_MASK = Words(
    key="fn_mask",
    label="Mask",
    relion_label="Reference mask (optional):",
    help="Soft mask of the particle, values 0 to 1. Empty uses a sphere of the mask diameter.",
    reads=MASK,
    pattern="Image Files (*.{spi,vol,msk,mrc})",
    on_continue="free",
)
CONTINUE_FROM = Words(
    key="fn_cont",
    label="Continue from",
    relion_label="Continue from here: ",
    help="Optimiser file of the iteration to go on from, such as run_it017_optimiser.star of "
    "this job.",
    pattern="STAR Files (*_optimiser.star)",
    directory="CURRENT_ODIR",
    on_continue="only",
)

# How a refinement works.

N_CLASSES = Words(
    key="nr_classes",
    tab="Optimisation",
    label="Number of classes",
    relion_label="Number of classes:",
    low=1,
    high=50,
    step=1,
    at_least=1,
)
N_ITERATIONS = Words(
    tab="Optimisation",
    label="Number of iterations",
    help="Total number, also when a job goes on. 25 is usual.",
    low=1,
    high=50,
    step=1,
    at_least=1,
    on_continue="free",
)
N_MINI_BATCHES = Words(
    tab="Optimisation",
    label="Number of VDAM mini-batches",
    relion_label="Number of VDAM mini-batches:",
    help="Total number. 200 is usual; 100 is faster and often enough.",
    low=50,
    high=500,
    step=10,
    at_least=1,
    on_continue="free",
)
REGULARISATION = Words(
    key="tau_fudge",
    tab="Optimisation",
    label="Regularisation T",
    relion_label="Regularisation parameter T:",
    low=0.1,
    high=10,
    step=0.1,
    at_least=0,
    on_continue="free",
)
MASK_DIAMETER = Words(
    key="particle_diameter",
    tab="Optimisation",
    label="Mask diameter (Å)",
    relion_label="Mask diameter (A):",
    help="Diameter of the soft circular mask around each particle: 10 to 20 % more than the "
    "particle's longest axis.",
    low=0,
    high=1000,
    step=10,
    at_least=0,
    on_continue="free",
)
MASK_WITH_ZEROS = Words(
    key="do_zero_mask",
    tab="Optimisation",
    label="Mask particles with zeros",
    relion_label="Mask individual particles with zeros?",
    help="Fill the outside of the mask with zeros. No fills it with noise: use that where "
    "density reaches beyond the mask.",
)
RESOLUTION_LIMIT = Words(
    key="highres_limit",
    tab="Optimisation",
    label="Limit resolution to (Å)",
    relion_label="Limit resolution E-step to (A): ",
    help="Use no data beyond this resolution to align and classify. -1 has no limit; 10 to "
    "15 Å prevents overfitting of hard 2D cases.",
    low=-1,
    high=20,
    step=1,
    off=-1,
)
USE_BLUSH = Words(
    key="do_blush",
    label="Use Blush regularisation",
    relion_label="Use Blush regularisation?",
    help="Denoise the map with a trained network in every iteration instead of assuming "
    "smoothness. Helps with small or noisy particles; needs the network.",
)
POINT_GROUP = Words(
    key="sym_name",
    label="Symmetry",
    relion_label="Symmetry:",
)

# How orientations are searched.

SAMPLING = (
    "30 degrees",
    "15 degrees",
    "7.5 degrees",
    "3.7 degrees",
    "1.8 degrees",
    "0.9 degrees",
    "0.5 degrees",
    "0.2 degrees",
    "0.1 degrees",
)
FIRST_ANGULAR_SAMPLING = Words(
    key="sampling",
    tab="Auto-sampling",
    label="First angular step",
    relion_label="Initial angular sampling:",
    choices=SAMPLING,
)
ALIGN = Words(
    key="dont_skip_align",
    tab="Sampling",
    label="Align the images",
    relion_label="Perform image alignment?",
    help="Search orientations. No classifies with the orientations that the particles came with.",
    on_continue="free",
)
_SHIFT_RANGE = Words(
    key="offset_range",
    label="Range of shifts (px)",
    help="Shifts are searched in a circle of this radius, around those of the last iteration.",
    low=0,
    high=30,
    step=1,
    at_least=0,
)
_SHIFT_STEP = Words(
    key="offset_step",
    label="Step of shifts (px)",
    help="Step of the search for shifts.",
    low=0.1,
    high=5,
    step=0.1,
    at_least=0.01,
)
SHIFT_RANGE = _SHIFT_RANGE | Words(
    tab="Sampling",
    relion_label="Offset search range (pix):",
    when="align",
    on_continue="free",
)
SHIFT_STEP = _SHIFT_STEP | Words(
    tab="Sampling",
    relion_label="Offset search step (pix):",
    when="align",
    on_continue="free",
)
FIRST_SHIFT_RANGE = _SHIFT_RANGE | Words(
    tab="Auto-sampling",
    relion_label="Initial offset range (pix):",
)
FIRST_SHIFT_STEP = _SHIFT_STEP | Words(
    tab="Auto-sampling",
    relion_label="Initial offset step (pix):",
)
ALLOW_COARSER = Words(
    key="allow_coarser",
    tab="Sampling",
    label="Allow coarser sampling",
    relion_label="Allow coarser sampling?",
    help="Use coarser angles and shifts in early iterations, as far as the estimated accuracy "
    "allows. Faster.",
    when="align",
    on_continue="free",
)
RELAX_POINT_GROUP = Words(
    key="relax_sym",
    label="Relax symmetry",
    relion_label="Relax symmetry:",
    help="Point group whose copies of each orientation are tried too, where a particle is only "
    "nearly symmetric. Usually empty.",
    on_continue="free",
)

# Filaments.

TUBE_DIAMETER = Words(
    key="helical_tube_outer_diameter",
    tab="Helix",
    label="Tube diameter (Å)",
    relion_label="Tube diameter (A): ",
    low=100,
    high=1000,
    step=10,
    at_least=0,
)
N_ASYMMETRIC_UNITS = Words(
    key="helical_nr_asu",
    label="Unique asymmetric units",
    relion_label="Number of unique asymmetrical units:",
    low=1,
    high=100,
    step=1,
    at_least=1,
)
RISE = Words(
    key="helical_rise",
    tab="Helix",
    label="Helical rise (Å)",
    relion_label="Helical rise (A):",
)
CENTRAL_Z = Words(
    key="helical_z_percentage",
    label="Central part along z (%)",
    relion_label="Central Z length (%):",
    low=5,
    high=80,
    step=1,
)

# Micrographs and picks.

LOW_PASS_MICROGRAPH = Words(
    key="lowpass",
    label="Low-pass filter (Å)",
    low=10,
    high=100,
    step=5,
    off=-1,
)
HIGH_PASS_MICROGRAPH = Words(
    key="highpass",
    label="High-pass filter (Å)",
    relion_label="Highpass filter (A)",
    low=100,
    high=1000,
    step=100,
    off=-1,
)
MIN_FOM = Words(
    key="minimum_pick_fom",
    label="Smallest figure of merit",
    relion_label="Minimum autopick FOM: ",
    low=-5,
    high=10,
    step=0.1,
    when="use_fom_threshold",
)
SCALED_BOX = Words(
    key="rescale",
    label="Box after scaling (px)",
    relion_label="Re-scaled size (pixels): ",
    low=64,
    step=8,
)
WRITE_FLOAT16 = Words(
    key="do_float16",
    label="Write 16-bit floats",
    relion_label="Write output in float16?",
    help="Half the disk space; the loss is far below the noise.",
)

# Maps.

HALF_MAP_FILE = Words(
    key="fn_in",
    label="One of the two half-maps",
    relion_label="One of the 2 unfiltered half-maps:",
    help="Either of the unfiltered half-maps of a refinement; the other is found beside it, with "
    "half1 and half2 swapped in its name.",
    reads=HALF_MAP,
    pattern="MRC map files (*half1*.mrc)",
)
POSTPROCESSED = Words(
    key="fn_post",
    label="Post-processing",
    relion_label="Postprocess STAR file:",
    help="The postprocess.star of a map of these particles: it gives mask and FSC.",
    reads=POSTPROCESS,
    pattern="STAR files (postprocess.star)",
)
MTF = Words(
    key="fn_mtf",
    label="Detector MTF",
    relion_label="MTF of the detector (STAR file)",
    pattern="STAR Files (*.star)",
    directory=".",
)
PIXEL_SIZE = Words(
    key="angpix",
    label="Pixel size (Å)",
    relion_label="Pixel size (A)",
    low=0.3,
    high=5,
    step=0.1,
    off=-1,
)
CALIBRATED_PIXEL_SIZE = PIXEL_SIZE | Words(
    label="Calibrated pixel size (Å)",
    relion_label="Calibrated pixel size (A)",
)

# Graphics cards.

USE_GPU = Words(
    key="use_gpu",
    label="Use GPUs",
    relion_label="Use GPU acceleration?",
    help="Compute on graphics cards.",
    on_continue="free",
)
GPU_IDS = Words(
    key="gpu_ids",
    label="Which GPUs",
    relion_label="Which GPUs to use:",
    help="Empty takes all that are there. 0,1 names two; a colon separates ranks, as in 0:1:2.",
    on_continue="free",
)
