"""The flowchart as a browser draws it."""

from __future__ import annotations

import subprocess

import numpy as np
from PIL import Image
from test_flowchart import tutorial

import requirements
from vitreous.project.flowchart import flowchart_svg


def screenshot(page, picture):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    sizes = ["--window-size=1400,2400", "--force-device-scale-factor=1"]
    profile = f"--user-data-dir={picture.parent / 'profile'}"
    target = [f"--screenshot={picture}", page.as_uri()]
    subprocess.run(
        [*command, *sizes, profile, *target], check=True, capture_output=True, timeout=90
    )
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"), np.int32)


def test_every_job_has_a_box_with_text_in_it(tmp_path):
    requirements.need("chromium")
    project = tutorial(tmp_path / "project")
    last = list(project.read().processes)[-1]
    page = tmp_path / "chart.svg"
    page.write_text(flowchart_svg(project, last))
    pixels = screenshot(page, tmp_path / "chart.png")
    background = pixels[-1, -1]
    drawn = (np.abs(pixels - background).sum(-1) > 30).mean()
    dark = (pixels.sum(-1) < 200).mean()
    assert 0.02 < drawn < 0.8
    assert dark > 0.001  # letters and frames
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # boxes in colour, smooth letters
