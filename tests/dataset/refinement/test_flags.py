"""RELION's flags: read, written, refused."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as some

from vitreous.dataset.refinement import flags
from vitreous.dataset.refinement.flag_table import (
    FLAGS,
    REFUSED,
    SEVERAL,
    WITHOUT_EFFECT,
    Kind,
)
from vitreous.dataset.refinement.machine import Machine
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import InputError


def test_every_flag_of_relion_is_known_or_refused_by_name(relion):
    done = subprocess.run(["relion_refine", "--help"], capture_output=True, text=True)
    names = {
        line.split("--", 1)[1].split(" ")[0]
        for line in done.stdout.splitlines()
        if line.lstrip().startswith("--")
    }
    assert len(names) > 100
    assert names - {*FLAGS, *SEVERAL, *REFUSED, *WITHOUT_EFFECT} == set()


def test_a_usual_auto_refinement():
    settings, machine = flags.parse(
        shlex.split(
            "--i parts.star --o ref/run --auto_refine --split_random_halves --ref cons.mrc "
            "--ini_high 40 --firstiter_cc --dont_combine_weights_via_disc --pool 10 --pad 2 --ctf "
            "--particle_diameter 190 --flatten_solvent --zero_mask --oversampling 1 "
            "--healpix_order 2 --auto_local_healpix_order 4 --offset_range 5 --offset_step 2 "
            '--sym D2 --low_resol_join_halves 40 --norm --scale --j 6 --gpu "0:1" --cpu'
        )
    )
    assert (settings.ndim, settings.auto_refine, settings.auto_sampling) == (3, True, True)
    assert (settings.n_iterations, settings.seed) == (999, -1)
    assert (settings.low_pass_A, settings.join_halves_A) == (40, 40)
    assert settings.searching.point_group == "D2"
    assert not settings.from_nothing
    assert (machine.n_threads, machine.n_pooled) == (6, 10)
    assert (machine.use_gpu, machine.gpu_ids) == (True, "0:1")
    assert not machine.combine_through_disk


def test_gpu_without_numbers_takes_all():
    assert flags.parse(["--gpu", "--j", "2"])[1].use_gpu
    assert flags.parse(["--gpu", "", "--j", "2"])[1].gpu_ids == ""


def test_one_width_for_all_angles_and_negative_ones_for_none():
    searching = flags.parse(["--sigma_ang", "2.5", "--sigma_rot", "-1"])[0].searching
    widths = (searching.sigma_rot_deg, searching.sigma_tilt_deg, searching.sigma_psi_deg)
    assert widths == (0, 2.5, 2.5)


def test_an_initial_model_is_a_map_from_nothing_without_negative_solvent():
    settings, _ = flags.parse(["--grad", "--denovo_3dref", "--flatten_solvent", "--sym", "C1"])
    assert (settings.ndim, settings.from_nothing) == (3, True)
    assert settings.solvent.non_negative
    assert settings.algorithm is Algorithm.GRADIENT


def test_class_averages_as_reference_are_two_dimensional():
    assert flags.parse(["--ref", "Class2D/job007/run_it025_classes.mrcs"])[0].ndim == 2


def test_all_that_is_wrong_is_told_at_once():
    line = "--heal_order 3 --sgd --K five --ini_high --iter 3 --fourier_mask m.mrc stray"
    with pytest.raises(InputError) as caught:
        flags.parse(shlex.split(line))
    told = str(caught.value).splitlines()
    assert told == [
        "Flags: --heal_order is not known; did you mean --healpix_order?",
        "Flags: '3' does not begin with -- and follows no flag that wants it",
        "Flags: --sgd belongs to the gradient algorithm of RELION 3.1; use --grad and its flags",
        "Flags: --K is 'five'; a whole number is wanted",
        "Flags: --ini_high wants a number behind it",
        "Flags: --fourier_mask is not supported: use --strict_highres_exp and --strict_lowres_exp",
        "Flags: 'm.mrc' does not begin with -- and follows no flag that wants it",
        "Flags: 'stray' does not begin with -- and follows no flag that wants it",
    ]


def value_of(flag):
    numbers = some.floats(0, 1e5, allow_nan=False)
    return {
        Kind.SWITCH: some.none(),
        Kind.WHOLE: some.integers(0, 9999),
        Kind.NUMBER: numbers,
        Kind.TEXT: some.sampled_from(["x", "a folder/x.mrc", "C4"]),
        Kind.PERHAPS: some.sampled_from(["", "0,1:2"]),
    }[flag.kind]


@some.composite
def lines(draw):
    words = []
    for name in draw(some.lists(some.sampled_from(sorted(FLAGS)), unique=True)):
        value = draw(value_of(FLAGS[name]))
        words += [f"--{name}"] if value is None else [f"--{name}", str(value)]
    return words


@for_all(lines())
def test_a_command_line_that_we_write_gives_the_same_settings(words):
    settings, machine = flags.parse(words)
    again = flags.parse(shlex.split(flags.command_line(settings, machine)))
    assert again == (settings, machine)


def test_default_settings_are_told_apart_from_absent_flags():
    settings, _ = flags.parse(shlex.split(flags.command_line(Settings(references="a.mrc"))))
    assert settings == Settings(references="a.mrc")


def paths(record, where):
    """Return the path of every value of nested records, of tuples that of each part."""
    if isinstance(record, tuple) and record:
        return {f"{where}.{row}" for row in range(len(record))}
    if not is_dataclass(record):
        return {where}
    parts = [paths(getattr(record, item.name), f"{where}.{item.name}") for item in fields(record)]
    return set().union(*parts)


def test_every_setting_has_a_flag():
    concluded = {
        "settings.ndim",
        "settings.from_nothing",
        "settings.solvent.non_negative",
        "machine.use_gpu",
        "machine.n_ranks",  # of mpirun
    }
    known = {flag.field for flag in FLAGS.values()}
    assert paths(Settings(), "settings") | paths(Machine(), "machine") == known | concluded
