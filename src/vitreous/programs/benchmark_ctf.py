"""How right and how fast CTFs are estimated: simulated micrographs of known defocus, timed.

The micrographs are those of `vitreous.testing.simulate.thon`: 2048 x 2048 pixels at 1.1 A, 300 kV,
B = 80 A^2, U - V up to 600 A; searched from 2,000 to 60,000 A and fitted from 30 to 4 A. A gross
failure is an error of the mean defocus above 1,000 A.

The Thon SNR is that of `thon`: the mean power of the rings. Whoever means their peaks has half of
it: 0.05 is 0.025 here. That is told too, of 4096 x 4096 pixels. On 2048 x 2048 it is beyond any
program: N independent Fourier pixels with rings of the amplitude m sqrt(2) show them at
``sqrt(sum m^2) = 5.6`` standard deviations at best, and a wide search meets 4 to 5 by chance.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.micrograph_ctf import Estimate, Microscope
from vitreous.engine import ctf_spectrum
from vitreous.engine.ctf_search import Range
from vitreous.io import write_mrc
from vitreous.programs.ctffind_own import Image, Wanted, estimate, read_micrograph, spectra_of
from vitreous.testing.simulate.contrast import Microscope as Simulated
from vitreous.testing.simulate.thon import Thon, random_defocus_A, thon_micrograph

SEARCH = Range(2000.0, 60000.0, 500.0, 100.0)
WANTED = Wanted(SEARCH, 30.0, 4.0, 512, -1, spectra=True, needs_unweighted=False)
# Thon SNR, side in pixels, share of the micrographs that are simulated of each
CASES = ((0.3, 2048, 1.0), (0.05, 2048, 1.0), (0.025, 4096, 0.2))
DEFOCUS_A = (3000.0, 50000.0)
MOST_ASTIGMATISM_A = 600.0
GROSS_A = 1000.0
ANGLE_COUNTS_FROM_A = 300.0
_LARGE_PX = 4096
_ON_A_CARD = 8


def run(n_each: int = 150) -> dict[str, Any]:
    """Measure accuracy at each Thon SNR, then speed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [accuracy(round(n_each * share), snr, 0, side) for snr, side, share in CASES]
        return {
            "search_A": [SEARCH.min_defocus_A, SEARCH.max_defocus_A],
            "micrographs": "1.1 A, 300 kV, B 80 A2, defocus 0.3 to 5 um",
            "accuracy": rows,
            "speed": speed(),
        }
    finally:
        torch.set_num_threads(before)


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table."""
    yield f"{result['micrographs']}, searched over {result['search_A']} A"
    yield (
        "SNR   side    n  mean error A  95 %  largest  gross"
        "  angle, U-V >= 300 A: mean  95 %  largest"
    )
    for row in result["accuracy"]:
        yield (
            f"{row['snr']:<5} {row['side_px']}  {row['n']:3}"
            f"  {row['mean_error_A']:12.1f}  {row['error_95_A']:4.0f}"
            f"  {row['largest_error_A']:7.0f}  {row['gross']:5}"
            f"  {row['mean_angle_error_deg']:24.2f}  {row['angle_error_95_deg']:4.1f}"
            f"  {row['largest_angle_error_deg']:7.2f}"
        )
    for name, seconds in result["speed"].items():
        yield f"{name}: {seconds:.3f} s for each micrograph"


def accuracy(n: int, snr: float, seed: int = 0, size_px: int = 2048) -> dict[str, Any]:
    """Return the errors of `n` fits."""
    wanted = Thon(size_px=size_px, snr=snr)
    errors, angles = [], []
    for number in range(n):
        rng = np.random.default_rng((seed, number))
        truth = random_defocus_A(rng, *DEFOCUS_A, MOST_ASTIGMATISM_A)
        found = fitted(thon_micrograph(wanted, truth, rng), wanted.pixel_size_A)
        errors.append(abs((found.defocus_u_A + found.defocus_v_A) - (truth[0] + truth[1])) / 2)
        if truth[0] - truth[1] >= ANGLE_COUNTS_FROM_A:
            angles.append(abs((found.angle_deg - truth[2] + 90) % 180 - 90))
    return {
        "snr": snr,
        "side_px": size_px,
        "n": n,
        "mean_error_A": float(np.mean(errors)),
        "error_95_A": float(np.quantile(errors, 0.95)),
        "largest_error_A": float(np.max(errors)),
        "gross": int(np.sum(np.array(errors) > GROSS_A)),
        "mean_angle_error_deg": float(np.mean(angles)),
        "angle_error_95_deg": float(np.quantile(angles, 0.95)),
        "largest_angle_error_deg": float(np.max(angles)),
    }


def fitted(image: NDArray[np.float32], pixel_size_A: float) -> Estimate:
    """Return the CTF of a simulated micrograph."""
    one = Image(image, pixel_size_A, is_spectrum=False)
    spectra = spectra_of(torch.from_numpy(image)[None], one, WANTED)
    return estimate(spectra, _microscope(pixel_size_A), WANTED, [""])[0].estimate


def speed() -> dict[str, float]:
    """Return seconds for a micrograph of 4096 x 4096 pixels, all of its pictures included."""
    wanted = Thon(size_px=_LARGE_PX)
    image = thon_micrograph(wanted, (15000.0, 14700.0, 30.0), np.random.default_rng(0))
    pixel_size_A = wanted.pixel_size_A
    microscope = _microscope(pixel_size_A)
    half = ctf_spectrum.of_images(torch.from_numpy(image)[None], pixel_size_A, 512)
    plane = ctf_spectrum.centred_plane(half.amplitude)[0].numpy()
    spectrum = Image(plane, half.pixel_size_A, is_spectrum=True)

    def from_spectrum() -> None:
        spectra = spectra_of(torch.from_numpy(plane)[None], spectrum, WANTED)
        estimate(spectra, microscope, WANTED, [""])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "micrograph.mrc"
        write_mrc(path, image, pixel_size_A)

        def from_file() -> None:
            read = read_micrograph(path, pixel_size_A, -1)
            spectra = spectra_of(torch.from_numpy(read.data)[None], read, WANTED)
            estimate(spectra, microscope, WANTED, [""])

        # Of one thread the processor's time is what an idle machine would take.
        result = {
            "from a power spectrum, one core": _best(from_spectrum, time.process_time),
            "from the image on disk, one core": _best(from_file, time.process_time),
        }
    if torch.cuda.is_available():
        result |= _on_a_card(image, plane, spectrum, microscope)
    return result


def _on_a_card(
    image: NDArray[np.float32],
    plane: NDArray[np.float32],
    spectrum: Image,
    microscope: Microscope,
) -> dict[str, float]:
    """Return seconds for each of a batch on the first graphics card, copies included."""
    cuda = torch.device("cuda")
    as_image = Image(image, microscope.pixel_size_A, is_spectrum=False)

    def batch(data: NDArray[np.float32], like: Image) -> Callable[[], None]:
        stack = torch.from_numpy(data)[None].repeat(_ON_A_CARD, 1, 1)

        def work() -> None:
            spectra = spectra_of(stack.to(cuda), like, WANTED)
            estimate(spectra, microscope, WANTED, [""] * _ON_A_CARD)
            torch.cuda.synchronize()

        return work

    name = torch.cuda.get_device_name()
    return {
        f"from power spectra, {name}": _best(batch(plane, spectrum)) / _ON_A_CARD,
        f"from images, {name}": _best(batch(image, as_image)) / _ON_A_CARD,
    }


def _best(
    work: Callable[[], None], clock: Callable[[], float] = time.perf_counter, repeats: int = 4
) -> float:
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def _microscope(pixel_size_A: float) -> Microscope:
    simulated = Simulated()
    return Microscope(
        pixel_size_A, simulated.voltage_kV, simulated.cs_mm, simulated.amplitude_contrast
    )
