"""The Topaz tab of AutoPick: the words of its options."""

from __future__ import annotations

from vitreous.jobs.declare import Words
from vitreous.project.node_types import COORDINATES, PARTICLES

PROGRAM = Words(
    key="fn_topaz_exe",
    tab="Topaz",
    label="Topaz program",
    relion_label="Topaz executable:",
    help="Command that starts Topaz.",
)
DIAMETER = Words(
    key="topaz_particle_diameter",
    tab="Topaz",
    label="Particle diameter (Å)",
    relion_label="Particle diameter (A) ",
    help="Diameter of the particle, which sets how far micrographs are scaled down. -1 "
    "leaves it to Topaz.",
    low=0,
    high=2000,
    step=20,
    off=-1,
)
TRAIN = Words(
    key="do_topaz_train",
    tab="Topaz",
    label="Train a model",
    relion_label="Perform topaz training?",
    help="Train the network on coordinates that are known.",
)
N_PARTICLES = Words(
    key="topaz_nr_particles",
    tab="Topaz",
    label="Particles per micrograph",
    relion_label="Nr of particles per micrograph: ",
    help="How many particles a micrograph is expected to have. -1 leaves it to Topaz.",
    low=0,
    high=2000,
    step=20,
    off=-1,
    when="topaz_train",
)
FROM_COORDINATES = Words(
    key="topaz_train_picks",
    tab="Topaz",
    label="Coordinates for training",
    relion_label="Input picked coordinates for training:",
    help="Coordinates to train on, from manual or automatic picking.",
    reads=COORDINATES,
    pattern="Input micrographs (*.{star})",
    when="topaz_train",
)
USE_PARTICLES = Words(
    key="do_topaz_train_parts",
    tab="Topaz",
    label="Train on particles",
    relion_label="OR train on a set of particles? ",
    help="Train on the coordinates of a particles file, such as good 2D classes, instead.",
    when="topaz_train",
)
FROM_PARTICLES = Words(
    key="topaz_train_parts",
    tab="Topaz",
    label="Particles for training",
    relion_label="Particles STAR file for training: ",
    help="Particles whose coordinates are trained on.",
    reads=PARTICLES,
    pattern="Input STAR file (*.{star})",
    when="topaz_train and topaz_use_particles",
)
PICK = Words(
    key="do_topaz_pick",
    tab="Topaz",
    label="Pick with a model",
    relion_label="Perform topaz picking?",
    help="Pick with a trained model.",
)
MODEL = Words(
    key="topaz_model",
    tab="Topaz",
    label="Trained model",
    relion_label="Trained topaz model: ",
    help="Model file of a training job. Empty uses the general model that comes with Topaz.",
    pattern="SAV Files (*.sav)",
    directory=".",
    when="topaz_pick",
)
FILAMENTS = Words(
    key="do_topaz_filaments",
    tab="Topaz",
    label="Pick filaments",
    relion_label="Pick filaments?",
    help="Use the version of Topaz that traces filaments.",
    when="topaz_pick",
)
FILAMENT_THRESHOLD = Words(
    key="topaz_filament_threshold",
    tab="Topaz",
    row="Filaments",
    label="Threshold of filaments",
    relion_label="Threshold:",
    help="Score from which on a pixel belongs to a filament.",
    when="topaz_pick and topaz_filaments",
)
HOUGH_LENGTH = Words(
    key="topaz_hough_length",
    tab="Topaz",
    row="Filaments",
    label="Length of segments (Å)",
    relion_label="Hough length (A):",
    help="Shortest straight piece of a filament. A negative number takes the particle diameter.",
    off=-1,
    when="topaz_pick and topaz_filaments",
)
ARGUMENTS = Words(
    key="topaz_other_args",
    tab="Topaz",
    label="Other Topaz arguments",
    relion_label="Additional topaz arguments:",
    help="Text added to the Topaz command. Usually empty.",
)
