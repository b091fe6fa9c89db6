"""Small optics and particle tables for tests."""

from __future__ import annotations

from vitreous.io import Star, Table


def optics(names=("gA",), **columns) -> Table:
    n = len(names)
    base = {
        "rlnOpticsGroupName": list(names),
        "rlnOpticsGroup": list(range(1, n + 1)),
        "rlnVoltage": [300.0] * n,
        "rlnSphericalAberration": [2.7] * n,
        "rlnAmplitudeContrast": [0.1] * n,
        "rlnImagePixelSize": [1.5] * n,
        "rlnImageSize": [64] * n,
        "rlnImageDimensionality": [2] * n,
    }
    return Table.from_columns("optics", base | columns)


def particles(names=("1@a.mrcs", "2@a.mrcs"), **columns) -> Table:
    n = len(names)
    base = {
        "rlnImageName": list(names),
        "rlnMicrographName": ["m1.mrc"] * n,
        "rlnCoordinateX": [10.0 * i for i in range(n)],
        "rlnCoordinateY": [20.0] * n,
        "rlnOpticsGroup": [1] * n,
        "rlnDefocusU": [10000.0] * n,
    }
    return Table.from_columns("particles", base | columns)


def star(optics_table: Table, particle_table: Table) -> Star:
    return Star([optics_table, particle_table])
