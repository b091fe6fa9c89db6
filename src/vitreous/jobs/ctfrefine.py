"""CTF refinement: defocus, magnification and aberrations."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files
from vitreous.project.node_types import LOG_PDF, PARTICLES

FITS = ("No", "Per-micrograph", "Per-particle")
_ABERRATION_SUMS = ("Axx", "Axy", "Ayy", "bx", "by")


@job(
    "relion.ctfrefine",
    folder="CtfRefine",
    gui_name="CTF refinement",
    number=21,
    hidden_prefix=".gui_ctfrefine",
    place=13,
)
class CtfRefine(Options):
    """Refine defocus, magnification and aberrations against a map."""

    particles: str = option(
        key="fn_data",
        label="Particles",
        relion_label="Particles (from Refine3D):",
        help="Refined particles, of a Refine3D or another CtfRefine job.",
        reads=PARTICLES,
        pattern="STAR files (*.star)",
    )
    postprocess: str = option(like=common.POSTPROCESSED)
    fit_magnification: bool = option(
        default=False,
        key="do_aniso_mag",
        tab="Fit",
        label="Estimate anisotropic magnification",
        relion_label="Estimate (anisotropic) magnification?",
        help="Stretch of the images in one direction, for each optics group. Done alone; the "
        "other fits are then off.",
        on_continue="free",
    )
    fit_ctf: bool = option(
        default=True,
        key="do_ctf",
        tab="Fit",
        label="Fit CTF parameters",
        relion_label="Perform CTF parameter fitting?",
        help="Fit those that are chosen below.",
        when="not fit_magnification",
        on_continue="free",
    )
    fit_defocus: str = option(
        default="No",
        key="do_defocus",
        tab="Fit",
        label="Defocus",
        relion_label="Fit defocus?",
        help="Per particle is usual, if the map is better than 4 Å.",
        choices=FITS,
        when="not fit_magnification and fit_ctf",
        on_continue="free",
    )
    fit_astigmatism: str = option(
        default="No",
        key="do_astig",
        tab="Fit",
        label="Astigmatism",
        relion_label="Fit astigmatism?",
        help="Per micrograph is usual; per particle only for large ones.",
        choices=FITS,
        when="not fit_magnification and fit_ctf",
        on_continue="free",
    )
    fit_bfactor: str = option(
        default="No",
        key="do_bfactor",
        tab="Fit",
        label="B-factor",
        relion_label="Fit B-factor?",
        help="Per micrograph, where micrographs differ in quality.",
        choices=FITS,
        when="not fit_magnification and fit_ctf",
        on_continue="free",
    )
    fit_phase_shift: str = option(
        default="No",
        key="do_phase",
        tab="Fit",
        label="Phase shift",
        relion_label="Fit phase-shift?",
        help="Per micrograph, for data taken with a phase plate.",
        choices=FITS,
        when="not fit_magnification and fit_ctf",
        on_continue="free",
    )
    fit_beam_tilt: bool = option(
        default=False,
        key="do_tilt",
        tab="Fit",
        label="Estimate beam tilt",
        relion_label="Estimate beamtilt?",
        help="For each optics group. Worth it below 4 Å.",
        when="not fit_magnification",
        on_continue="free",
    )
    fit_trefoil: bool = option(
        default=False,
        key="do_trefoil",
        tab="Fit",
        label="Estimate trefoil",
        relion_label="Also estimate trefoil?",
        help="Three-fold astigmatism, together with beam tilt. Worth it below 3.5 Å.",
        when="not fit_magnification and fit_beam_tilt",
        on_continue="free",
    )
    fit_4th_order: bool = option(
        default=False,
        key="do_4thorder",
        tab="Fit",
        label="Estimate 4th-order aberrations",
        relion_label="Estimate 4th order aberrations?",
        help="Spherical aberration and tetrafoil of each optics group. Worth it below 3.5 Å.",
        when="not fit_magnification",
        on_continue="free",
    )
    min_resolution_A: float = option(
        default=30,
        key="minres",
        tab="Fit",
        label="Lowest resolution of the fits (Å)",
        relion_label="Minimum resolution for fits (A): ",
        help="Data below this resolution are not used. 30 Å is usual; 20 Å for magnification.",
        low=8,
        high=40,
        step=1,
        at_least=0.1,
    )
    running: Running = shared(default_factory=Running)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.fit_magnification:
            return
        if not (self.fit_ctf or self.fit_beam_tilt or self.fit_4th_order):
            yield Problem("fit_ctf", "nothing is fitted; switch at least one fit on")
        fits = (self.fit_defocus, self.fit_astigmatism, self.fit_bfactor, self.fit_phase_shift)
        if self.fit_ctf and all(fit not in FITS[1:] for fit in fits):
            yield Problem(
                "fit_defocus", "no CTF parameter is fitted; choose one, or switch CTF fits off"
            )

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.fit_magnification:
            yield "anisomag"

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the report and the particles."""
        kind = "anisomagrefine" if self.fit_magnification else "ctfrefine"
        yield Output("logfile.pdf", f"{LOG_PDF}.ctfrefine")
        yield Output("particles_ctf_refine.star", f"{PARTICLES}.{kind}")

    def cleanup(self) -> Cleanup:
        """Return what was stored for each micrograph."""
        aberrations = [f"*_aberr-{name}_optics-group_*.mrc" for name in _ABERRATION_SUMS]
        patterns = (
            "*_wAcc_optics-group*.mrc",
            "*_xyAcc_optics-group*.mrc",
            *aberrations,
            "*_mag_optics-group_*.mrc",
            "*_fit.star",
            "*_fit.eps",
        )
        return Cleanup(gentle=tuple(Files(pattern, below=True) for pattern in patterns))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "particles", "Particles")
        if self.fit_magnification:
            yield Result("headline", "anisotropy", "Anisotropy of magnification", "%")
            return
        if self.fit_ctf:
            yield Result("headline", "defocus_change", "Median change of defocus", "Å")
            yield Result("plot", "defocus_change", "Change of defocus")
        if self.fit_beam_tilt:
            yield Result("headline", "beam_tilt", "Largest beam tilt", "mrad")
            yield Result("plot", "odd_aberrations", "Odd aberrations of every optics group")
        if self.fit_4th_order:
            yield Result("plot", "even_aberrations", "Even aberrations of every optics group")
