"""The Picking and Helix tabs of AutoPick: the words of their options."""

from __future__ import annotations

from vitreous.jobs.declare import Words

THRESHOLD = Words(
    key="threshold_autopick",
    tab="Picking",
    label="Picking threshold",
    relion_label="Picking threshold:",
    help="Figure of merit from which on a peak is a particle: 0.05 for the first look, up "
    "to 0.5 for strict picking.",
    low=0,
    high=1,
    step=0.01,
    on_continue="free",
)
MIN_DISTANCE = Words(
    key="mindist_autopick",
    tab="Picking",
    label="Smallest distance (Å)",
    relion_label="Minimum inter-particle distance (A):",
    help="Particles closer together than this are one. About two thirds of the diameter.",
    low=0,
    high=1000,
    step=20,
    at_least=0,
    on_continue="free",
)
MAX_NOISE_SIGMA = Words(
    key="maxstddevnoise_autopick",
    tab="Picking",
    label="Largest standard deviation of the background",
    relion_label="Maximum stddev noise:",
    help="Skip areas such as carbon, whose background varies more. 1.1 is usual; -1 is off.",
    low=0.9,
    high=1.5,
    step=0.02,
    off=-1,
    on_continue="free",
)
MIN_NOISE_AVERAGE = Words(
    key="minavgnoise_autopick",
    tab="Picking",
    label="Smallest average of the background",
    relion_label="Minimum avg noise:",
    help="Skip dark areas such as carbon edges: -0.5 is a good try; -999 is off.",
    low=-2,
    high=0.5,
    step=0.05,
    off=-999,
    on_continue="free",
)
WRITE_FOM_MAPS = Words(
    key="do_write_fom_maps",
    tab="Picking",
    label="Write maps of merit",
    relion_label="Write FOM maps?",
    help="Keep the maps of the figure of merit, so that threshold and distance can be tried "
    "on a few micrographs. They are large.",
    on_continue="free",
)
READ_FOM_MAPS = Words(
    key="do_read_fom_maps",
    tab="Picking",
    label="Read maps of merit",
    relion_label="Read FOM maps?",
    help="Use the maps that an earlier run of this job kept.",
    on_continue="free",
)
SHRINK = Words(
    key="shrink",
    tab="Picking",
    label="Shrink factor",
    relion_label="Shrink factor:",
    help="Scale micrographs down for speed. 0 chooses what the low-pass filter allows; 1 "
    "does not scale.",
    low=0,
    high=1,
    step=0.1,
    off=0,
    at_least=0,
    at_most=1,
)
PICK_HELIX = Words(
    key="do_pick_helical_segments",
    tab="Helix",
    label="Pick helical segments",
    relion_label="Pick 2D helical segments?",
    help="Trace filaments through the peaks and place segments along them.",
)
MIN_TUBE_LENGTH = Words(
    key="helical_tube_length_min",
    tab="Helix",
    label="Shortest filament (Å)",
    relion_label="Minimum length (A): ",
    help="Shorter filaments are dropped. -1 keeps all.",
    low=100,
    high=1000,
    step=10,
    off=-1,
    when="pick_helix",
    on_continue="free",
)
MAX_CURVATURE = Words(
    key="helical_tube_kappa_max",
    tab="Helix",
    label="Largest curvature",
    relion_label="Maximum curvature (kappa): ",
    help="How far a filament may bend: 0.1 allows a radius of ten times half the box; 0.05 "
    "for stiff ones.",
    low=0.05,
    high=0.5,
    step=0.01,
    when="pick_helix",
    on_continue="free",
)
IS_AMYLOID = Words(
    key="do_amyloid",
    tab="Helix",
    label="Amyloid",
    relion_label="Pick amyloid segments?",
    help="Use the method for amyloid filaments, with their narrow cross-section.",
    when="pick_helix",
    on_continue="free",
)
