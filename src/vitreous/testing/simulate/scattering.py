"""How electrons see atoms: scattering factors, displaced ice, and the phase they make.

Elastic factors are those of the International Tables C, table 4.3.2.2 (five Gaussians an element),
as gemmi holds them. Hydrogens that a model lacks are added to the atoms that carry them, and the
ice that the molecule displaces is taken off (as in Shang & Sigworth 2012, J. Struct. Biol. 180, 10,
and Vulovic et al. 2013, J. Struct. Biol. 183, 19), for what is seen is the difference.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Mean number of hydrogens bound to an atom of protein, for models without hydrogens.
_BOUND_HYDROGENS = {"C": 1.2, "N": 1.1, "O": 0.2, "S": 0.2}
_BOND_B_A2 = 26.0  # 8 pi^2 / 3 times the square of a bond of 1 A: hydrogens lie around their atom
_VOLUME_A3_PER_DA = 1.21  # partial specific volume of protein, 0.73 cm^3/g
_ICE_MOLECULES_PER_A3 = 0.0314  # vitreous ice, 0.94 g/cm^3
_DISPLACED_B_A2 = 180.0  # the displaced ice of an atom is a Gaussian of 1.5 A deviation
# Net amplitude per mass of protein in ice, the mean of beta-galactosidase; for maps without units.
NET_AMPLITUDE_A_PER_DA = 0.088


def wavelength_A(voltage_kV: float) -> float:
    """Return the relativistic wavelength of an electron, in ångström."""
    volts = voltage_kV * 1e3
    return float(12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts)))


def phase_per_amplitude_A(voltage_kV: float) -> float:
    """Return the phase (rad, times Å²) that an atom of forward amplitude 1 Å makes in all.

    Phase = interaction constant times projected potential = gamma lambda times the projected
    scattering amplitude, where gamma is the relativistic mass of the electron in rest masses.
    """
    return (1 + voltage_kV / 510.99895) * wavelength_A(voltage_kV)


def form_factor(element: str, b_A2: float, k_per_A: Array, *, with_hydrogens: bool) -> Array:
    """Return the amplitude of an atom in ice at spatial frequencies k, in ångström.

    Parameters
    ----------
    element
        Its symbol.
    b_A2
        Its B-factor.
    k_per_A
        Frequencies, 1/Å (twice sin(theta)/lambda).
    with_hydrogens
        Add the mean number of bound hydrogens.
    """
    bound = _BOUND_HYDROGENS.get(element, 0.0) if with_hydrogens else 0.0
    volume_A3 = _VOLUME_A3_PER_DA * (_mass_Da(element) + bound * _mass_Da("H"))
    displaced = _ICE_MOLECULES_PER_A3 * volume_A3 * water_factor(np.zeros(1))[0]
    q = k_per_A**2 / 4
    own = elastic_factor(element, k_per_A)
    hydrogens = bound * elastic_factor("H", k_per_A) * np.exp(-_BOND_B_A2 * q)
    ice = displaced * np.exp(-_DISPLACED_B_A2 * q)
    return np.asarray((own + hydrogens - ice) * np.exp(-b_A2 * q))


def elastic_factor(element: str, k_per_A: Array) -> Array:
    """Return the elastic amplitude of a free atom at frequencies k, in ångström."""
    a, b = _coefficients(element)
    return np.asarray((a * np.exp(-b * k_per_A[..., None] ** 2 / 4)).sum(-1))


def water_factor(k_per_A: Array) -> Array:
    """Return the amplitude of a water molecule, its hydrogens 0.96 Å from the oxygen."""
    spread = np.sinc(2 * 0.96 * k_per_A)
    return np.asarray(elastic_factor("O", k_per_A) + 2 * elastic_factor("H", k_per_A) * spread)


def ice_phase_power_A2(k_per_A: Array, thickness_A: float, voltage_kV: float) -> Array:
    """Return the power of the phase of vitreous ice per unit of area, in rad² Å².

    Independent molecules would give N f(k)^2; their order is a structure factor with the compress-
    ibility limit at k = 0 and the first ring of ice at 1/3.7 Å.
    """
    order = 1 - 0.9 * np.exp(-((k_per_A / 0.17) ** 4))
    order += 1.2 * np.exp(-0.5 * ((k_per_A - 1 / 3.7) / 0.03) ** 2)
    amplitude = phase_per_amplitude_A(voltage_kV) * water_factor(k_per_A)
    return np.asarray(_ICE_MOLECULES_PER_A3 * thickness_A * amplitude**2 * order)


@lru_cache
def _coefficients(element: str) -> tuple[Array, Array]:
    import gemmi

    found = gemmi.Element("H" if element == "D" else element).c4322
    return np.array(found.a), np.array(found.b)


@lru_cache
def _mass_Da(element: str) -> float:
    import gemmi

    return float(gemmi.Element(element).weight)
