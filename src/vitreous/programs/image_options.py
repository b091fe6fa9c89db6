"""The options of `vitreous image`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vitreous.io.colours import SCHEMES
from vitreous.programs.image_steps import STEPS, WITHOUT_VALUE

_HELP = {
    "multiply_constant": ("X", "multiply pixels by a number"),
    "divide_constant": ("X", "divide pixels by a number"),
    "add_constant": ("X", "add a number to the pixels"),
    "subtract_constant": ("X", "subtract a number from the pixels"),
    "threshold_above": ("X", "make larger values this value"),
    "threshold_below": ("X", "make smaller values this value"),
    "multiply": ("FILE", "multiply by another image or map"),
    "divide": ("FILE", "divide by another image or map; 0 where that is 0"),
    "add": ("FILE", "add another image or map"),
    "subtract": ("FILE", "subtract another image or map"),
    "adjust_power": ("FILE", "give each shell the mean amplitude of another image or map"),
    "fourier_filter": ("FILE", "multiply the transform by an image, zero frequency at its centre"),
    "correct_avg_ampl": ("FILE", "level a mean amplitude spectrum made by --avg_ampl"),
    "bfactor": ("A2", "apply a B-factor; negative sharpens"),
    "lowpass": ("A", "low-pass filter"),
    "highpass": ("A", "high-pass filter"),
    "LoG": ("A", "Laplacian-of-Gaussian filter for discs of this diameter"),
    "phase_randomise": ("A", "randomise phases beyond this resolution"),
    "flipX": ("", "mirror along x"),
    "flipY": ("", "mirror along y"),
    "flipZ": ("", "mirror a map along z"),
    "flipXY": ("", "exchange x and y"),
    "flipmXY": ("", "exchange x and -y"),
    "invert_hand": ("", "mirror x about the origin, which stays where it is"),
    "shift_x": ("PX", "move along x; nothing wraps around"),
    "shift_y": ("PX", "move along y"),
    "shift_z": ("PX", "move a map along z"),
    "shift_com": ("", "move the centre of mass of positive density to the origin"),
    "rescale_angpix": ("A", "resample to this pixel size (an even box, its true pixel size)"),
    "new_box": ("PX", "crop or pad to this box"),
    "sym": ("GROUP", "average a map over a point group such as D2"),
    "add_edge": ("", "repeat a column or row outwards, to all four edges (see --edge_x0)"),
    "remove_nan": ("", "replace NaN and infinite pixels (see --replace_nan)"),
}


_EDGES = {
    "x0": "the first column kept, from 0 (default 0)",
    "y0": "the first row kept, from 0 (default 0)",
    "xF": "the last column kept (default the last there is)",
    "yF": "the last row kept (default the last there is)",
}
REDUCTIONS = (
    "average",
    "average_all_movie_frames",
    "avg_ampl",
    "avg_ampl2",
    "avg_ampl2_ali",
    "avg_bin",
)


class _Append(argparse.Action):
    """Remember an operation in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option_string: str | None = None,
    ) -> None:
        """Add (name, value) to the steps."""
        value = values if isinstance(values, str) else ""
        namespace.steps = [*namespace.steps, ((option_string or "").lstrip("-"), value)]


def parser() -> argparse.ArgumentParser:
    """Return the parser; the operations come out as ``steps``, a list of (name, value)."""
    result = argparse.ArgumentParser(
        prog="vitreous image",
        allow_abbrev=False,
        description="Convert, filter, rescale and measure images, stacks and maps. Input: MRC, "
        "TIFF, EER, PNG or JPEG, or a STAR file that names images. Operations act one after the "
        "other, in the order in which they are written. PNG and JPEG start with the top row, MRC "
        "with the lowest: pictures are turned so that both look the same with y upwards.",
    )
    result.set_defaults(steps=[])
    result.add_argument("--i", required=True, metavar="FILE", help="image, stack, map or STAR file")
    result.add_argument(
        "--o", metavar="FILE",
        help="output; for STAR input one stack (.mrcs) or pictures (.png), or, without an ending, "
        "a text that is added to the name of each file",
    )  # fmt: skip
    result.add_argument("--angpix", type=float, metavar="A", help="pixel size of the input")
    steps = result.add_argument_group("operations, applied in order")
    for name in STEPS:
        metavar, text = _HELP[name]
        if name in WITHOUT_VALUE:
            steps.add_argument(f"--{name}", action=_Append, nargs=0, help=text)
        else:
            steps.add_argument(f"--{name}", action=_Append, metavar=metavar, help=text)
    _add_settings(result.add_argument_group("how operations work"))
    _add_reports(result.add_argument_group("measure, after all operations"))
    _add_reductions(result.add_argument_group("many images to one"))
    _add_output(result.add_argument_group("output"))
    return result


def _add_settings(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--filter_edge_width", type=int, default=2, metavar="SHELLS", help="of filters (default 2)"
    )
    group.add_argument("--directional", choices=["X", "Y", "Z"], help="--lowpass along one axis")
    group.add_argument("--replace_nan", type=float, default=0.0, metavar="X", help="(default 0)")
    group.add_argument(
        "--minr_ampl_corr", type=float, default=0.0, metavar="PX",
        help="--correct_avg_ampl beyond this radius in Fourier pixels",
    )  # fmt: skip
    for place, what in _EDGES.items():
        group.add_argument(f"--edge_{place}", type=int, metavar="PX", help=f"--add_edge: {what}")
    group.add_argument("--seed", type=int, default=0, help="of --phase_randomise (default 0)")
    group.add_argument(
        "--optimise_scale_subtract", action="store_true", help="--subtract with the best scale"
    )
    group.add_argument(
        "--optimise_bfactor_subtract", type=float, default=0.0, metavar="A2",
        help="also try B-factors from minus to plus this, in steps of 10",
    )  # fmt: skip
    group.add_argument(
        "--mask_optimise_subtract", metavar="FILE", help="only pixels in this mask count"
    )


def _add_reports(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--stats", action="store_true", help="mean, deviation, least, largest")
    group.add_argument("--com", action="store_true", help="centre of mass of positive density")
    group.add_argument("--power", action="store_true", help="mean of |F|^2 by shell")
    group.add_argument("--guinier", action="store_true", help="ln of mean |F| by 1/d^2")
    group.add_argument("--fsc", metavar="FILE", help="correlation with another image or map")
    group.add_argument("--json", action="store_true", help="print JSON")


def _add_reductions(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--average", action="store_true", help="mean of all images")
    group.add_argument(
        "--avg_ampl", action="store_true", help="mean amplitude spectrum (half transform)"
    )
    group.add_argument(
        "--avg_ampl2", action="store_true", help="mean squared amplitudes (half transform)"
    )
    group.add_argument(
        "--avg_ampl2_ali", action="store_true",
        help="the same of the images of a STAR file, each turned by its rlnAnglePsi",
    )  # fmt: skip
    group.add_argument(
        "--average_all_movie_frames", action="store_true",
        help="mean of all frames of all movies of a STAR file",
    )  # fmt: skip
    group.add_argument("--avg_bin", type=int, metavar="N", help="sums of every N frames of a movie")
    group.add_argument("--avg_first", type=int, metavar="N", help="first frame, from 1")
    group.add_argument("--avg_last", type=int, metavar="N", help="last frame")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--float16", action="store_true", help="write two bytes a pixel")
    group.add_argument(
        "--force_header_angpix", type=float, metavar="A", help="pixel size written, nothing scaled"
    )
    group.add_argument("--black", type=float, default=0.0, help="value shown black in pictures")
    group.add_argument("--white", type=float, default=0.0, help="value shown white in pictures")
    group.add_argument(
        "--sigma_contrast", type=float, default=0.0, help="black and white so many sigma from mean"
    )
    for name, colours in SCHEMES.items():
        text = "pictures in colours: " + ", ".join(_COLOURS[colour] for colour in colours)
        centred = ", black for 0" if name == "difference" else ""
        group.add_argument(
            f"--colour_{name}", action="store_const", const=name, dest="colour", help=text + centred
        )


_COLOURS = {
    (0, 0, 0): "black", (128, 128, 128): "grey", (255, 255, 255): "white", (255, 0, 0): "red",
    (255, 255, 0): "yellow", (0, 0, 255): "blue", (0, 255, 255): "cyan",
}  # fmt: skip
