"""What a person does with the picker, as steps that tests share."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from browser import gui_process, steps
from vitreous import Project
from vitreous.io import Table, write_star, write_volume
from vitreous.io.coordinates import read_picks

SIDE = 768
FOM = "rlnAutopickFigureOfMerit"


def make_project(folder):
    """Return a project with three micrographs and their CTF."""
    made = Project.create(folder / "apoferritin")
    (made.root / "Mics").mkdir()
    random = np.random.default_rng(3)
    names = [f"Mics/m{number}.mrc" for number in range(3)]
    for name in names:
        image = random.normal(size=(SIDE, SIDE)).astype(np.float32)
        image[100, 200] = 55.0
        write_volume(made.root / name, image, 2.0)
    optics = {
        "rlnOpticsGroup": [1],
        "rlnMicrographPixelSize": [2.0],
        "rlnMicrographOriginalPixelSize": [2.0],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
    rows = {
        "rlnMicrographName": names,
        "rlnOpticsGroup": [1] * 3,
        "rlnDefocusU": [21000.0, 9000.0, 15000.0],
        "rlnDefocusV": [20000.0, 8800.0, 14600.0],
        "rlnDefocusAngle": [10.0] * 3,
        "rlnCtfMaxResolution": [4.0, 7.5, 5.0],
    }
    tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
    write_star(made.root / "micrographs.star", tables)
    return made


def serve(project, folder):
    """Serve a project for a while, also through a tunnel on another port."""
    words = ("--allow-host", "localhost", "--allow-host", "127.0.0.1")
    return gui_process.serve(project.root, folder / "r", *words)


def told(page):
    return page.evaluate("() => document.querySelector('.viewer.mg')?.viewer.state ?? {}")


def wait(page, *, seconds=20.0, **wanted):
    """Wait until the state of the picker has some values."""
    end = time.monotonic() + seconds
    while True:
        now = told(page)
        if all(now.get(name) == value for name, value in wanted.items()):
            return now
        if time.monotonic() > end:
            found = {name: now.get(name) for name in wanted}
            raise AssertionError(f"wanted {wanted}, found {found}; {now.get('trouble')}")
        page.wait_for_timeout(50)


def open_picker(page, job, **wanted):
    steps.go(page, f"#/job/{job.number}/picks")
    return wait(page, isLoaded=True, row=0, **wanted)


def place(page, x, y):
    """Return where on the page a pixel of the micrograph is."""
    now = told(page)
    view, box = now["view"], now["box"]
    return (
        box["left"] + (x - view["x"]) * view["scale"] + view["width"] / 2,
        box["top"] + (y - view["y"]) * view["scale"] + view["height"] / 2,
    )


def click(page, x, y, **how):
    page.mouse.click(*place(page, x, y), **how)


def shift_click(page, x, y):
    page.keyboard.down("Shift")
    click(page, x, y)
    page.keyboard.up("Shift")


def drag(page, start, end, **how):
    page.mouse.move(*place(page, *start))
    page.mouse.down(**how)
    page.mouse.move(*place(page, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    page.mouse.move(*place(page, *end))
    page.mouse.up(**how)


def on_disk(job, row=0):
    file = job.path / f"Mics/m{row}_manualpick.star"
    if not file.is_file():
        return []
    table = read_picks(file)
    return list(zip(table["rlnCoordinateX"], table["rlnCoordinateY"], strict=True))


def places(*found):
    return pytest.approx(np.array(found, float).reshape(-1, 2), abs=1.6)


def write_picks(job, columns, row=0):
    file = job.path / f"Mics/m{row}_manualpick.star"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_star(file, [Table.from_columns("", columns)])


def graded(n, seed=1):
    random = np.random.default_rng(seed)
    across = math.ceil(math.sqrt(n))
    grid = np.arange(n)
    return {
        "rlnCoordinateX": 20.0 + (grid % across) * (SIDE - 40) / across,
        "rlnCoordinateY": 20.0 + (grid // across) * (SIDE - 40) / across,
        FOM: random.uniform(-0.2, 0.8, n),
        "rlnClassNumber": random.integers(1, 4, n),
    }


def colour_at(page, x, y, radius_A=30.0):
    """Return the strongest colour of the right edge of a ring."""
    scale = told(page)["view"]["scale"]
    found = page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector('.mg-over');
          const ratio = canvas.width / canvas.clientWidth;
          const box = canvas.getBoundingClientRect();
          const at = [(x - box.left) * ratio, (y - box.top) * ratio].map(Math.round);
          const data = canvas.getContext('2d').getImageData(at[0] - 4, at[1], 9, 1).data;
          let best = [0, 0, 0], most = -1;
          for (let n = 0; n < data.length; n += 4) {
            const strength = data[n + 3] * (data[n] + data[n + 1] + data[n + 2]);
            if (strength > most) { most = strength; best = [data[n], data[n + 1], data[n + 2]]; }
          }
          return best;
        }""",
        [place(page, x, y)[0] + radius_A / 2.0 * scale, place(page, x, y)[1]],
    )
    return tuple(found)


def wait_for_colour(page, x, y, is_right):
    gui_process.wait_for("the colour", lambda: is_right(colour_at(page, x, y)), 5)
