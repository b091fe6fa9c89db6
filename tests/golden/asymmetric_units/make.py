"""Ask RELION 3.1.3 which directions it searches for each point group.

A refinement of four noise images writes its direction table; the pixels are found by rounding.
Run in this folder: `python make.py`; writes `directions.json` (HEALPix pixels of order 3).
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

import mrcfile
import numpy as np
import torch

from vitreous.engine import healpix

GROUPS = "C2 C3 C4 C5 D1 D2 D3 D4 D5 D7 T O I1 I2 I3 I4"
COMMAND = (
    "relion_refine --i in.star --ref ref.mrc --o ./run --sym {} --healpix_order 3 --psi_step 90 "
    "--iter 1 --oversampling 0 --offset_range 0.5 --offset_step 1 --particle_diameter 50 "
    "--ini_high 30 --norm --scale --random_seed 1 --pad 1 --perturb 0"
)
STAR = """
data_optics

loop_
_rlnOpticsGroup
_rlnOpticsGroupName
_rlnVoltage
_rlnSphericalAberration
_rlnAmplitudeContrast
_rlnImagePixelSize
_rlnImageSize
_rlnImageDimensionality
1 og1 300 2.7 0.1 4 16 2

data_particles

loop_
_rlnImageName
_rlnMicrographName
_rlnOpticsGroup
"""


def directions(group: str, folder: Path) -> list[int]:
    subprocess.run(COMMAND.format(group).split(), cwd=folder, check=True, capture_output=True)
    text = (folder / "run_it001_sampling.star").read_text()
    rows = re.findall(r"^ +(-?[0-9.]+) +(-?[0-9.]+) *$", text, re.MULTILINE)
    known = healpix.directions(3, torch.arange(768)).numpy()
    pixels = []
    for rot, tilt in np.array(rows, float):
        turn = (known[:, 0] - rot + 180) % 360 - 180
        distance = np.hypot(turn, known[:, 1] - tilt)
        assert distance.min() < 1e-4
        pixels.append(int(distance.argmin()))
    return pixels


def main() -> None:
    noise = np.random.default_rng(0).normal(size=(20, 16, 16)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in (("ref.mrc", noise[:16]), ("x.mrcs", noise[16:])):
            with mrcfile.new(folder / file, data=data) as written:
                written.voxel_size = 4.0
        rows = "".join(f"{number}@x.mrcs m.mrc 1\n" for number in range(1, 5))
        (folder / "in.star").write_text(STAR + rows)
        tables = {group: directions(group, folder) for group in GROUPS.split()}
    lines = [f'"{group}": {json.dumps(pixels)}' for group, pixels in tables.items()]
    Path("directions.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
