"""RELION 3.1.3 reads what we write and finds the same numbers.

It knows double quotes but not the BEL that newer versions put before a quote inside a text, so
no text here needs one.
"""

from __future__ import annotations

import math
import subprocess

import numpy as np

from vitreous.io import Table, parse_star, read_star, write_star

N_ROWS = 50
BAD = ["bad", "12abc", "5", "-", "0x10", "+5", "2,5", "1.5.2", "-.5x", '"7 x"', "+-1"]


def handled(folder, *options):
    """Let RELION read a file and write it again."""
    subprocess.run(
        ["relion_star_handler", "--i", "ours.star", "--o", "theirs.star", *options],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return read_star(folder / "theirs.star")


def particles():
    rng = np.random.default_rng(1)
    exponents = rng.integers(-12, 13, N_ROWS)
    return [
        Table.from_columns(
            "optics",
            {
                "rlnOpticsGroup": [1, 2],
                "rlnOpticsGroupName": ["opticsGroup1", "two"],
                "rlnVoltage": [300.0, 200.0],
                "rlnSphericalAberration": 2.7,
                "rlnImagePixelSize": [1 / 3, 1.0],
                "rlnImageSize": 64,
                "rlnImageDimensionality": 2,
                "rlnOddZernike": [[0.1, 1 / 3, -2e-9], []],
            },
            comment="made for a test",
        ),
        Table.from_columns(
            "particles",
            {
                "rlnImageName": [
                    f"{i + 1:06d}@stacks/with blank {i % 3}.mrcs" for i in range(N_ROWS)
                ],
                "rlnMicrographName": [f"'mic\"{i % 2} x.mrc" for i in range(N_ROWS)],
                "rlnOpticsGroup": 1 + np.arange(N_ROWS) % 2,
                "rlnDefocusU": rng.normal(size=N_ROWS) * 10.0**exponents,
                "rlnDefocusV": np.round(rng.normal(size=N_ROWS) * 1e4, 6),
                "rlnClassNumber": rng.integers(-5, 5, N_ROWS),
                "rlnMyColumn": [f"{i:03d}" for i in range(N_ROWS)],
            },
        ),
    ]


def digits(value):
    """Return how far RELION's text of a number may be from it: half of its last digit."""
    size = abs(value)
    if 0 < size < 0.001 or size > 100000:
        return 0.51e-5 * 10.0 ** math.floor(math.log10(size)) if size else 0
    return 0.51e-5


def test_values_are_the_same_to_the_last_digit_that_relion_writes(relion, tmp_path):
    ours = particles()
    write_star(tmp_path / "ours.star", ours, version=30001)
    theirs = handled(tmp_path)
    assert list(theirs) == ["optics", "particles"]
    for table in ours:
        again = theirs[table.name]
        assert set(again.labels) == set(table.labels)
        for label in table.labels:
            mine, found = table[label], again[label]
            if label == "rlnOddZernike":
                for a, b in zip(mine, found, strict=True):
                    np.testing.assert_allclose(b, a, rtol=1e-11)
            elif mine.dtype == np.float64:
                wrong = [(a, b) for a, b in zip(mine, found, strict=True) if abs(a - b) > digits(a)]
                assert not wrong, label
            else:
                assert found.tolist() == mine.tolist(), label


def test_what_relion_wrote_is_what_we_write_of_it(relion, tmp_path):
    write_star(tmp_path / "ours.star", particles(), version=30001)
    theirs = handled(tmp_path)
    write_star(tmp_path / "again.star", theirs)
    assert (tmp_path / "again.star").read_bytes() == (tmp_path / "theirs.star").read_bytes()


def test_relion_finds_no_difference_between_its_file_and_ours(relion, data, tmp_path):
    real = read_star(data / "betagal_10204" / "particles_consensus.star")
    write_star(tmp_path / "ours.star", real, version=30001)
    theirs = handled(tmp_path)
    for label in real["particles"].labels:
        mine, found = real["particles"][label], theirs["particles"][label]
        if mine.dtype == object:
            assert mine.tolist() == found.tolist(), label
        else:
            np.testing.assert_allclose(found, mine, rtol=1e-5, atol=1e-5, err_msg=label)


def test_permissive_reads_an_unreadable_number_as_relion_does(relion, tmp_path):
    text = (
        "\n# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n"
        "_rlnSphericalAberration #3\n_rlnImagePixelSize #4\n1 300 2.7 1\n\n\n"
        "data_particles\n\nloop_\n_rlnImageName #1\n_rlnOpticsGroup #2\n_rlnDefocusU #3\n"
        "_rlnClassNumber #4\n"
        + "".join(f"{i + 1}@a.mrcs 1 {text} {text}\n" for i, text in enumerate(BAD))
        + "\n"
    )
    (tmp_path / "ours.star").write_text(text)
    theirs = handled(tmp_path)["particles"]
    ours = parse_star(text, permissive=True)["particles"]
    for label in ("rlnDefocusU", "rlnClassNumber"):
        np.testing.assert_array_equal(ours[label], theirs[label], err_msg=label)
