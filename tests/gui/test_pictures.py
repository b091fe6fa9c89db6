"""Pictures through the server and its display worker: what a file shows, sheets, tiles, volumes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import small_project
from gui_client import READER, TOKEN, client_of
from vitreous.gui.display import Display
from vitreous.gui.guard import Access
from vitreous.gui.refusals import RefusedError
from vitreous.gui.server import create_app
from vitreous.io import Table, parse_star, write_mrc, write_star, write_volume

N, BOX = 30, 32


def _image(n: int) -> np.ndarray:
    """Return an image with a bright square whose place tells its number."""
    image = np.zeros((BOX, BOX), np.float32)
    y, x = divmod(n, 6)
    image[5 * y : 5 * y + 5, 5 * x : 5 * x + 5] = 1.0
    return image


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = small_project.make(tmp_path_factory.mktemp("pictures") / "project").root
    write_mrc(root / "stack.mrcs", np.stack([_image(n) for n in range(N)]), 2.0)
    values = np.arange(N)[::-1] * 1.0
    values[4] = np.nan
    write_star(
        root / "particles.star",
        [
            Table.from_columns(
                "optics", {"rlnOpticsGroup": [1], "rlnImagePixelSize": [2.0], "rlnImageSize": [BOX]}
            ),
            Table.from_columns(
                "particles",
                {
                    "rlnImageName": [f"{n + 1:06d}@stack.mrcs" for n in range(N)],
                    "rlnDefocusU": values,
                    "rlnOpticsGroup": [1] * N,
                    "rlnAnglePsi": [0.0, 90.0] + [0.0] * (N - 2),
                    "rlnOriginXAngst": [0.0, 0.0, 4.0] + [0.0] * (N - 3),
                    "rlnOriginYAngst": [0.0] * N,
                },
            ),
        ],
    )
    rng = np.random.default_rng(3)
    micrograph = rng.normal(100, 5, (1300, 1100)).astype(np.float32)
    micrograph[:64, :64] = 200
    write_mrc(root / "mic.mrc", micrograph, 1.5)
    write_star(
        root / "micrographs.star",
        [Table.from_columns("micrographs", {"rlnMicrographName": ["mic.mrc", "gone.mrc"]})],
    )
    z, y, x = np.indices((48, 48, 48)) - 24
    ball = (np.sqrt(x**2 + y**2 + z**2) < 12).astype(np.float32)
    ball[24, 24, 24] = 1.5
    write_volume(root / "ball_half1.mrc", ball, 3.0)
    write_volume(root / "ball_half2.mrc", ball, 3.0)
    _classification(root)
    return root


def _classification(root):
    folder = root / "Class2D/job001"
    folder.mkdir(parents=True)
    base = "Class2D/job001/run_it025_"
    optimiser = {
        "rlnModelStarFile": f"{base}model.star",
        "rlnExperimentalDataStarFile": f"{base}data.star",
    }
    general = {"rlnReferenceDimensionality": 2, "rlnPixelSize": 2.0}
    classes = {
        "rlnReferenceImage": [f"{n:06d}@stack.mrcs" for n in (1, 2, 3)],
        "rlnClassDistribution": [0.2, 0.5, 0.3],
    }
    write_star(
        root / f"{base}optimiser.star",
        [Table.from_columns("optimiser_general", optimiser, is_list=True)],
    )
    write_star(
        root / f"{base}model.star",
        [
            Table.from_columns("model_general", general, is_list=True),
            Table.from_columns("model_classes", classes),
        ],
    )
    data = {"rlnImageName": ["000001@stack.mrcs"] * 5, "rlnClassNumber": [2, 2, 1, 2, 3]}
    write_star(root / f"{base}data.star", [Table.from_columns("particles", data)])


@pytest.fixture(scope="module")
def client(root):
    with client_of(create_app(root, access=Access(TOKEN, READER))) as made:
        yield made


def _pixels(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"), np.float32)


def _told(client, path):
    return client.get("/api/display", params={"path": path}).json()


@pytest.mark.parametrize(
    ("path", "kind", "n"),
    [
        ("particles.star", "particles", N),
        ("stack.mrcs", "images", N),
        ("micrographs.star", "micrographs", 2),
        ("mic.mrc", "images", 1),
        ("ball_half1.mrc", "volume", 48),
        ("Class2D/job001/run_it025_optimiser.star", "classes", 3),
        ("Class2D/job001/run_it025_model.star", "classes", 3),
        ("default_pipeline.star", "table", 1),
        ("make_particles.sh", "text", 0),
    ],
)
def test_what_a_file_is(client, path, kind, n):
    told = _told(client, path)
    assert (told["kind"], told["n"]) == (kind, n), told


def test_classes_come_with_their_particles(client):
    path = "Class2D/job001/run_it025_optimiser.star"
    told = _told(client, path)
    assert told["n_particles"] == 5
    assert told["iteration"] == 25
    assert told["job"] == 1
    assert (told["default_sort"], told["default_reverse"]) == ("rlnClassDistribution", True)
    query = {
        "path": path,
        "columns": "particles,rlnClassDistribution",
        "sort": "particles",
        "reverse": 1,
    }
    table = client.get("/api/images/table", params=query).json()
    assert table["rows"] == [1, 0, 2]
    assert table["columns"]["particles"] == [3, 1, 1]


def test_a_table_is_sorted_with_ties_in_the_order_of_the_file(client):
    query = {"path": "particles.star", "columns": "rlnDefocusU", "sort": "rlnDefocusU", "count": 3}
    told = client.get("/api/images/table", params=query).json()
    assert told["rows"] == [29, 28, 27]
    whole = client.get("/api/images/table", params={**query, "count": 0, "sort": "RANDOMLY"}).json()
    assert sorted(whole["rows"]) == list(range(N))
    assert None in whole["columns"]["rlnDefocusU"]
    wrong = client.get("/api/images/table", params={**query, "columns": "rlnDefocusW"})
    assert wrong.status_code == 409
    assert "rlnDefocusU" in wrong.json()["error"]


def test_a_histogram_counts_every_number(client):
    query = {"path": "particles.star", "column": "rlnDefocusU", "bins": 7}
    told = client.get("/api/images/histogram", params=query).json()
    assert sum(told["counts"]) == N - 1
    assert told["n_missing"] == 1


def test_a_sheet_shows_each_image_at_its_place(client):
    query = {"path": "particles.star", "rows": "0-29", "size": BOX, "across": 6}
    answer = client.get("/api/images/sprite", params=query)
    sheet = _pixels(answer)
    assert sheet.shape == (5 * BOX, 6 * BOX)
    assert answer.headers["x-count"] == str(N)
    for n in range(N):
        y, x = divmod(n, 6)
        tile = sheet[y * BOX : (y + 1) * BOX, x * BOX : (x + 1) * BOX]
        assert np.corrcoef(tile.ravel(), _image(n).ravel())[0, 1] > 0.95, n


def test_a_sheet_in_the_order_of_a_column(client):
    query = {"path": "particles.star", "sort": "rlnDefocusU", "from": 0, "count": 1, "size": BOX}
    tile = _pixels(client.get("/api/images/sprite", params=query))
    assert np.corrcoef(tile.ravel(), _image(29).ravel())[0, 1] > 0.95


def test_an_image_that_is_missing_leaves_its_place_grey_and_the_others_as_they_are(client):
    query = {"path": "micrographs.star", "rows": "0,1", "size": 64, "sigma": 3}
    sheet = _pixels(client.get("/api/images/sprite", params=query))
    assert np.median(sheet[:, 64:]) == pytest.approx(40, abs=4)
    assert sheet[:54, :64].std() > 3
    one = client.get("/api/images/one", params={"path": "micrographs.star", "row": 1})
    assert one.status_code == 404


def test_pictures_are_kept_for_ever_only_under_the_right_version(client):
    version = _told(client, "particles.star")["version"]
    query = {"path": "particles.star", "rows": "0"}
    right = client.get("/api/images/sprite", params={**query, "version": version})
    wrong = client.get("/api/images/sprite", params={**query, "version": "old"})
    assert "immutable" in right.headers["cache-control"]
    assert wrong.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("rows", ["0-200", "5-1", "1,x", "99", "1-2-3"])
def test_rows_that_cannot_be_shown_are_refused(client, rows):
    query = {"path": "particles.star", "rows": rows}
    assert client.get("/api/images/sprite", params=query).status_code in (409, 422)


def test_orientations_turn_and_shift_as_relion_means_them(client):
    """A psi of 90 degrees and an origin of two pixels, against what the definition gives."""
    plain = _pixels(client.get("/api/images/one", params={"path": "particles.star", "row": 1}))
    query = {"path": "particles.star", "oriented": True}
    turned = _pixels(client.get("/api/images/one", params={**query, "row": 1}))
    c = BOX // 2
    # The reference at u is the image at A u, with A = [[0, 1], [-1, 0]] for psi = 90 degrees.
    expected = np.zeros_like(plain)
    for uy in range(-c + 1, c):
        for ux in range(-c + 1, c):
            expected[uy + c, ux + c] = plain[-ux + c, uy + c]
    assert np.corrcoef(turned[1:, 1:].ravel(), expected[1:, 1:].ravel())[0, 1] > 0.98
    still = _pixels(client.get("/api/images/one", params={"path": "particles.star", "row": 2}))
    shifted = _pixels(client.get("/api/images/one", params={**query, "row": 2}))
    assert np.corrcoef(shifted[:, 2:].ravel(), still[:, :-2].ravel())[0, 1] > 0.98


def test_tiles_have_the_first_row_of_the_file_at_the_top(client):
    query = {"path": "micrographs.star", "row": 0}
    meta = client.get("/api/images/meta", params=query).json()
    assert (meta["width_px"], meta["height_px"], meta["levels"]) == (1100, 1300, 3)
    assert meta["pixel_size_A"] == pytest.approx(1.5)
    first = {**query, "level": 0, "x": 0, "y": 0, "black": 80, "white": 220}
    tile = _pixels(client.get("/api/images/tile", params=first))
    assert tile.shape == (512, 512)
    assert tile[:60, :60].mean() > 200
    assert tile[100:].mean() < 60
    last = _pixels(client.get("/api/images/tile", params={**first, "level": 2}))
    assert last.shape == (325, 275)
    assert last[:15, :15].mean() > 200
    assert client.get("/api/images/tile", params={**first, "level": 9}).status_code == 409
    assert client.get("/api/images/tile", params={**first, "x": 9}).status_code == 409
    value = client.get("/api/images/value", params={**query, "x": 3, "y": 3}).json()
    assert value["value"] == 200


def test_percentiles_clip_both_ends_of_a_tile(client, root):
    image = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    write_mrc(root / "ramp.mrc", image, 1.0)
    first = {"path": "ramp.mrc", "level": 0, "x": 0, "y": 0}
    tile = _pixels(client.get("/api/images/tile", params={**first, "percentile": 10}))
    assert tile[:6].max() <= 3
    assert tile[-6:].min() >= 252
    assert abs(int(tile[32, 0]) - 128) < 6


def test_values_along_a_line_lie_between_pixels(client, root):
    image = np.add.outer(10.0 * np.arange(40), np.arange(50)).astype(np.float32)
    write_mrc(root / "slope.mrc", image, 2.0)
    ends = {"x0": 4.5, "y0": 3, "x1": 34.5, "y1": 43}
    told = client.get("/api/images/line", params={"path": "slope.mrc", **ends}).json()
    x, y = np.linspace(4.5, 34.5, 51), np.linspace(3, 43, 51).clip(0, 39)
    np.testing.assert_allclose(told["y"], 10 * y + x, atol=1e-3)
    assert told["x"][-1] == pytest.approx(100)  # 50 pixels of 2 angstrom
    assert told["x_unit"] == "Å"


def test_averages_of_chosen_images(client):
    body = {"path": "particles.star", "rows": [0, 1], "size": BOX}
    mean = _pixels(client.post("/api/images/average", json=body))
    expected = _image(0) + _image(1)
    assert np.corrcoef(mean.ravel(), expected.ravel())[0, 1] > 0.99
    spread = _pixels(client.post("/api/images/average", json={**body, "what": "deviation"}))
    assert spread.max() == 255
    assert client.post("/api/images/average", json={**body, "rows": [99]}).status_code == 409


def test_chosen_rows_come_as_a_star_file(client):
    body = {"path": "particles.star", "rows": [7, 2]}
    answer = client.post("/api/images/star", json=body)
    assert answer.headers["content-disposition"] == "attachment"
    kept = parse_star(answer.text)
    assert kept["particles"]["rlnImageName"].tolist() == [
        "000003@stack.mrcs",
        "000008@stack.mrcs",
    ]
    classes = client.post(
        "/api/images/star", json={"path": "Class2D/job001/run_it025_model.star", "rows": [1]}
    )
    assert "rlnReferenceImage" in classes.text
    assert "particles" not in parse_star(classes.text).first.labels
    assert client.post("/api/images/star", json={**body, "rows": [99]}).status_code == 409


def test_a_volume_comes_as_bytes_slices_and_what_is_known(client):
    meta = client.get("/api/volumes/meta?path=ball_half1.mrc").json()
    assert meta["shape"] == [48, 48, 48]
    assert meta["half_map"] == "ball_half2.mrc"
    assert meta["boxes"] == [48]
    assert 0 < meta["threshold"] <= 1
    answer = client.get("/api/volumes/data?path=ball_half1.mrc&box=64")
    raw = answer.content if len(answer.content) == 48**3 else gzip.decompress(answer.content)
    voxels = np.frombuffer(raw, np.uint8).reshape(48, 48, 48)
    low, high = float(answer.headers["x-low"]), float(answer.headers["x-high"])
    values = voxels / 255 * (high - low) + low
    assert values[24, 24, 20] == pytest.approx(1.0, abs=0.02)
    assert values[2, 2, 2] == pytest.approx(0.0, abs=0.02)
    query = {"path": "ball_half1.mrc", "axis": "z", "index": 24, "black": 0, "white": 1}
    middle = _pixels(client.get("/api/volumes/slice", params=query))
    assert middle[24, 24] == 255
    assert middle[0, 0] == 0
    assert client.get("/api/volumes/slice", params={**query, "index": 48}).status_code == 409


def test_what_needs_torch_comes_too(client):
    smaller = client.get("/api/volumes/data?path=ball_half1.mrc&box=24")
    assert smaller.headers["x-box"] == "24,24,24"
    query = {"path": "ball_half1.mrc", "threshold": 0.5, "size": 96, "tilt": 40}
    surface = _pixels(client.get("/api/volumes/surface.png", params=query))
    assert surface.shape == (96, 96)
    inside = surface > 60
    assert abs(inside.mean() - np.pi * 0.25**2) < 0.03  # a ball of half the box's radius
    assert inside[48, 48]
    assert not inside[4, 4]
    assert surface[34, 34] > surface[62, 62]  # lit from the upper left
    filtered = {"path": "particles.star", "row": 0, "lowpass_A": 30}
    smooth = _pixels(client.get("/api/images/one", params=filtered))
    sharp = _pixels(client.get("/api/images/one", params={"path": "particles.star", "row": 0}))
    assert np.abs(np.diff(smooth)).max() < np.abs(np.diff(sharp)).max()
    fft = _pixels(client.get("/api/images/fft", params={"path": "particles.star", "size": 64}))
    assert fft.shape == (64, 64)
    assert np.allclose(fft[2:, 2:], fft[2:, 2:][::-1, ::-1], atol=14)  # Friedel's law
    lines = client.get("/api/images/profile", params={"path": "particles.star"}).json()
    assert lines["x_unit"] == "1/Å"
    assert lines["x"][-1] == pytest.approx(0.25, abs=0.02)
    chart = client.get("/api/graph.pdf")
    assert chart.content.startswith(b"%PDF")


def test_images_that_a_table_names_outside_of_the_project_are_not_read(client, root):
    write_mrc(root.parent / "secret.mrc", np.ones((8, 8), np.float32), 1.0)
    names = {"rlnImageName": ["../secret.mrc", str(root.parent / "secret.mrc")]}
    write_star(root / "outward.star", [Table.from_columns("particles", names)])
    for row in (0, 1):
        answer = client.get("/api/images/one", params={"path": "outward.star", "row": row})
        assert answer.status_code == 404
        assert "outside the project" in answer.json()["error"]


def test_a_thumbnail_that_cannot_be_made_says_so(client, root):
    names = {"rlnImageName": ["../secret.mrc", "1@gone.mrcs"]}
    write_star(root / "both.star", [Table.from_columns("particles", names)])
    query = {"path": "both.star", "rows": "0-1", "size": 96, "across": 2}
    sheet = _pixels(client.get("/api/images/sprite", params=query)).astype(int)
    outside, gone = sheet[:, :96], sheet[:, 96:]
    for tile in (outside, gone):
        assert np.median(tile) == pytest.approx(40, abs=4)
        assert 100 < (tile > 100).sum() < 96**2 / 4  # words
        assert tile[2:-2, 2:-2].max() > 120
        assert np.abs(tile[:8] - 40).max() < 20  # they fit
    assert np.abs(outside - gone).max() > 60


def test_data_of_a_listed_folder_are_shown(root, tmp_path):
    write_mrc(tmp_path / "far.mrc", _image(3), 1.0)
    (root / "Movies").symlink_to(tmp_path)
    query = {"path": "Movies/far.mrc"}
    with client_of(create_app(root, access=Access(TOKEN))) as closed:
        refused = closed.get("/api/images/one", params=query)
        assert refused.status_code == 404
        assert "--data" in refused.json()["error"]
    with client_of(create_app(root, access=Access(TOKEN), data=[tmp_path])) as opened:
        assert opened.get("/api/images/one", params=query).status_code == 200
    (root / "Movies").unlink()


def test_a_worker_that_died_is_started_again_and_one_that_rests_is_ended(root):
    async def live():
        display = Display(root, idle_s=0.5)
        await display.ask("describe", path="stack.mrcs")
        first = display.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        for _ in range(3):
            with contextlib.suppress(RefusedError):
                await display.ask("describe", path="stack.mrcs")
        second = display.pid
        assert second not in (None, first)
        ending = asyncio.create_task(display.end_when_idle())
        end = time.monotonic() + 20
        while display.pid is not None and time.monotonic() < end:
            await asyncio.sleep(0.1)
        assert display.pid is None
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        await display.close()

    # A thread of its own: tests in a browser leave a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, live()).result()


def test_pictures_are_not_packed_twice_and_tables_are(client):
    picture = client.get("/api/images/sprite", params={"path": "particles.star", "rows": "0-9"})
    assert "content-encoding" not in picture.headers
    table = client.get("/api/types/class2d/form")
    assert table.headers["content-encoding"] == "gzip"


def test_the_server_itself_never_loads_torch(client):
    import subprocess
    import sys

    code = (
        "import sys; import vitreous.gui.server, vitreous.gui.start; "
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
