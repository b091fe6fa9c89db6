"""Files through which a program outside makes the maps of a refinement (refinement.md section 12).

The names and columns are RELION's, so that programs written for it work here.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import torch

from vitreous.engine.refinement.external_regulariser import Exchange
from vitreous.engine.refinement.regulariser import Regularised
from vitreous.errors import ComputeError, EnvironmentMissing, FormatError
from vitreous.io import Table, read_star, read_volume, write_star, write_volume

PROGRAM = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"
"""Environment variable that names the program and its own arguments."""

_PARTS = ("data_real", "data_imag", "weight")


class ExternalProgram:
    """Makes maps by a program outside.

    Parameters
    ----------
    command
        The program and its own arguments; the STAR file is added at the end.
    root
        What names of the files of this refinement begin with, from `folder`.
    folder
        The project folder, where the program is run.
    """

    def __init__(self, command: str, root: str, folder: Path) -> None:
        self.command, self.root, self.folder = shlex.split(command), root, folder
        if not self.command:
            raise EnvironmentMissing(
                f"--external_reconstruct needs a program: set {PROGRAM} to its name in the "
                "environment of the job."
            )

    def __call__(self, exchange: Exchange) -> Regularised:
        """Write the sums, run the program, and read the map that it made."""
        stem = self.stem(exchange)
        star, result = self._write(exchange, stem)
        (self.folder / result).unlink(missing_ok=True)
        done = subprocess.run(
            [*self.command, star], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode or not (self.folder / result).is_file():
            raise ComputeError(
                f"{' '.join(self.command)} {star}: the program ended with {done.returncode} and "
                f"{'wrote' if (self.folder / result).is_file() else 'did not write'} {result}. "
                f"It said: {done.stderr.strip()[-500:] or 'nothing'}"
            )
        volume = torch.from_numpy(np.array(read_volume(self.folder / result).data, np.float32))
        return self._answer(volume, f"{stem}_external_reconstruct_out.star", exchange)

    def stem(self, exchange: Exchange) -> str:
        """Return what the names of the files of one map begin with."""
        request = exchange.request
        half = "" if request.half is None else f"_half{request.half + 1}"
        return f"{self.root}_it{request.iteration:03d}{half}_class{request.class_ + 1:03d}"

    def _write(self, exchange: Exchange, stem: str) -> tuple[str, str]:
        request = exchange.request
        names = {part: f"{stem}_external_reconstruct_{part}.mrc" for part in _PARTS}
        arrays = (exchange.data.real, exchange.data.imag, exchange.weight)
        for name, array in zip(names.values(), arrays, strict=True):
            write_volume(self.folder / name, array.contiguous().numpy(), request.pixel_size_A)
        result = f"{stem}_external_reconstruct.mrc"
        sums = request.sums
        general = Table.from_columns(
            "external_reconstruct_general",
            {
                "rlnExtReconsDataReal": [names["data_real"]],
                "rlnExtReconsDataImag": [names["data_imag"]],
                "rlnExtReconsWeight": [names["weight"]],
                "rlnExtReconsResult": [result],
                "rlnExtReconsResultStarfile": [f"{stem}_external_reconstruct_out.star"],
                "rlnTau2FudgeFactor": [request.tau_fudge],
                "rlnPaddingFactor": [float(sums.padding)],
                "rlnReferenceDimensionality": [sums.ndim],
                "rlnOriginalImageSize": [sums.box_px],
                "rlnCurrentImageSize": [request.current_size_px],
                "rlnPixelSize": [request.pixel_size_A],
                "rlnParticleDiameter": [request.diameter_A],
            },
            is_list=True,
        )
        shells = np.arange(len(exchange.tau2))
        curves = Table.from_columns(
            "external_reconstruct_tau2",
            {
                "rlnSpectralIndex": shells,
                "rlnReferenceTau2": exchange.tau2.double().numpy(),
                "rlnGoldStandardFsc": exchange.fsc.double().numpy(),
            },
        )
        star = f"{stem}_external_reconstruct.star"
        write_star(self.folder / star, [general, curves])
        return star, result

    def _answer(self, volume: torch.Tensor, name: str, exchange: Exchange) -> Regularised:
        """Take the curves that the program may have written beside its map."""
        path = self.folder / name
        if not path.is_file():
            return Regularised(volume)
        curves: dict[str, torch.Tensor] = {}
        for table in read_star(path).tables:
            for label, key in (("rlnReferenceTau2", "tau2"), ("rlnGoldStandardFsc", "fsc")):
                if label in table:
                    values = torch.from_numpy(np.asarray(table[label], np.float64))
                    if len(values) != len(exchange.tau2):
                        raise FormatError(
                            f"{name}: {label} has {len(values)} shells, wanted "
                            f"{len(exchange.tau2)}."
                        )
                    curves[key] = values
        return Regularised(volume, curves.get("fsc"), curves.get("tau2"))
