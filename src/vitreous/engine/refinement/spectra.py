"""Power of signal and noise of one reference, per shell (refinement.md sections 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import reconstruction
from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.regulariser import Regularised
from vitreous.engine.refinement.state import Model
from vitreous.engine.refinement.statistics import Statistics
from vitreous.engine.refinement.weights import Weights


@dataclass(frozen=True)
class Spectra:
    """Curves of one class, all on the shells of the references, float64.

    Parameters
    ----------
    tau2, sigma2_map, ssnr, fsc, completeness
        As in `state.Model`.
    overall
        Completeness within the resolution of the class.
    """

    tau2: Float[Tensor, " s"]
    sigma2_map: Float[Tensor, " s"]
    ssnr: Float[Tensor, " s"]
    fsc: Float[Tensor, " s"]
    completeness: Float[Tensor, " s"]
    overall: float = 0.0

    def covering(self, reached: Float[Tensor, " h"], weights: Weights) -> Spectra:
        """Return the same with the points of each half shell that were reached."""
        shell = sizes.resolution_shell(self.ssnr[None], beyond_gaps=False)
        return replace(
            self,
            completeness=fitted(weights.coverage(reached), len(self.tau2)),
            overall=weights.coverage_within(reached, shell),
        )

    def improved(
        self, found: Regularised, weights: Weights, fudge: float, *, whole_set: bool
    ) -> Spectra:
        """Return the curves that a regulariser's own FSC or signal power implies."""
        n = len(self.tau2)
        if found.fsc is not None:
            return from_fsc(fitted(found.fsc, n), weights, fudge, whole_set=whole_set)
        if found.tau2 is not None:
            tau2 = fitted(found.tau2, n)
            ssnr = fitted(weights.signal_to_noise(tau2, fudge), n)
            return replace(self, tau2=tau2, ssnr=ssnr)
        return self


def from_fsc(
    fsc: Float[Tensor, " s"], weights: Weights, fudge: float, *, whole_set: bool = False
) -> Spectra:
    """Return the curves that the correlation between halves implies.

    Parameters
    ----------
    fsc
        Between halves.
    weights
        Of one half, or of both.
    fudge
        T.
    whole_set
        The weights are of both halves.
    """
    n = len(fsc)
    sigma2 = fitted(weights.noise_power(), n)
    ones = torch.ones_like(sigma2)
    ssnr = reconstruction.tau2_from_fsc(fsc, ones, fudge=fudge, whole_set=whole_set)
    return Spectra(ssnr * sigma2, sigma2, ssnr, fsc.to(sigma2), torch.zeros_like(sigma2))


def from_power(tau2: Float[Tensor, " s"], weights: Weights, fudge: float) -> Spectra:
    """Return the curves of a reference whose signal power is known.

    Parameters
    ----------
    tau2
        Power of the signal.
    weights, fudge
        Of the sums; T.
    """
    n = len(tau2)
    sigma2 = fitted(weights.noise_power(), n)
    ssnr = fitted(weights.signal_to_noise(tau2, fudge), n)
    zero = torch.zeros_like(sigma2)
    return Spectra(tau2.to(sigma2), sigma2, ssnr, zero, zero)


def attenuated(found: Spectra, statistics: Statistics, class_: int) -> Spectra:
    """Return the curves with signal-to-noise times the mean CTF^2, for premultiplied data."""
    weight = fitted(statistics.ctf2_weight[class_], len(found.tau2))
    mean = fitted(statistics.ctf2[class_], len(found.tau2)) / weight.clamp(min=1e-300)
    return replace(found, ssnr=torch.where(weight > 0, found.ssnr * mean, found.ssnr))


def without_data(model: Model) -> Spectra:
    """Return the curves of a class that no particle belongs to."""
    zero = torch.zeros(model.tau2.shape[-1], dtype=torch.float64, device=model.tau2.device)
    return Spectra(zero, zero, zero, zero, zero)


def stacked(model: Model, found: list[Spectra]) -> Model:
    """Return a model with the curves of all its classes."""
    return replace(
        model,
        tau2=torch.stack([one.tau2 for one in found]),
        sigma2_map=torch.stack([one.sigma2_map for one in found]),
        ssnr=torch.stack([one.ssnr for one in found]),
        fsc=torch.stack([one.fsc for one in found]),
        completeness=torch.stack([one.completeness for one in found]),
        class_completeness=torch.tensor([one.overall for one in found], dtype=torch.float64),
    )


def with_curves(model: Model, change: Callable[[Tensor], Tensor]) -> Model:
    """Return a model with every table of curves ``k s`` changed in the same way."""
    return replace(
        model,
        tau2=change(model.tau2),
        sigma2_map=change(model.sigma2_map),
        ssnr=change(model.ssnr),
        fsc=change(model.fsc),
        completeness=change(model.completeness),
        orientability=change(model.orientability),
    )


def fitted(curve: Float[Tensor, " t"], n: int) -> Float[Tensor, " s"]:
    """Cut a curve at n shells or lengthen it with zeros; float64."""
    return torch.nn.functional.pad(curve[:n].to(torch.float64), (0, max(0, n - len(curve))))
