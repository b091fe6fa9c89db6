"""What belongs to a map, and its voxels in other forms."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

import small_project
from gui_client import READER, TOKEN, client_of
from vitreous.gui.guard import Access
from vitreous.gui.server import create_app
from vitreous.io import Table, write_star, write_volume

BOX = 32
JOB_STAR = """data_job

_rlnJobTypeLabel {word}
_rlnJobIsContinue 0
_rlnJobIsTomo 0

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
{values}
"""


def _ball(radius=8.0):
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    return np.clip(radius - np.sqrt(x**2 + y**2 + z**2) + 0.5, 0, 1).astype(np.float32)


def _job(root, name, word, **values):
    (root / name).mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"{key} {value}" for key, value in values.items())
    (root / name / "job.star").write_text(JOB_STAR.format(word=word, values=lines))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = small_project.make(tmp_path_factory.mktemp("maps") / "p").root
    refine = "Refine3D/job001"
    _job(made, refine, "relion.refine3d", sym_name="D3")
    for iteration in (0, 1):
        for half in (1, 2):
            write_volume(made / f"{refine}/run_it00{iteration}_half{half}_class001.mrc", _ball(), 2)
    write_volume(made / f"{refine}/run_class001.mrc", _ball(), 2)
    for half in (1, 2):
        write_volume(made / f"{refine}/run_half{half}_class001_unfil.mrc", _ball(), 2)
    half_map = f"{refine}/run_half1_class001_unfil.mrc"
    classes = "Class3D/job002"
    _job(made, classes, "relion.class3d", sym_name="C1")
    for number in (1, 2, 3):
        write_volume(made / f"{classes}/run_it004_class00{number}.mrc", _ball(), 2)
    table = {
        "rlnClassDistribution": [0.5, 0.3, 0.2],
        "rlnEstimatedResolution": [9.0, float("inf"), 11.0],
    }
    star = made / f"{classes}/run_it004_model.star"
    write_star(star, [Table.from_columns("model_classes", table)])
    mask = "MaskCreate/job003"
    _job(made, mask, "relion.maskcreate", fn_in=f"{refine}/run_class001.mrc")
    write_volume(made / f"{mask}/mask.mrc", _ball(11), 2)
    given = {"fn_in": half_map, "fn_mask": f"{mask}/mask.mrc"}
    _job(made, "PostProcess/job004", "relion.postprocess", **given)
    write_volume(made / "PostProcess/job004/postprocess.mrc", _ball(), 2)
    _job(made, "LocalRes/job005", "relion.localres.own", **given)
    for name in ("relion_locres", "relion_locres_filtered"):
        write_volume(made / f"LocalRes/job005/{name}.mrc", 5 * _ball(), 2)
    return made


@pytest.fixture(scope="module")
def client(root):
    with client_of(create_app(root, access=Access(TOKEN, READER))) as made:
        yield made


def _scene(client, path):
    answer = client.get("/api/volumes/scene", params={"path": path})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_refinement_has_iterations_half_maps_and_symmetry(client):
    told = _scene(client, "Refine3D/job001/run_class001.mrc")
    assert told["iterations"] == [0, 1]
    assert told["iteration"] is None
    assert told["final"] == "Refine3D/job001/run_class001.mrc"
    assert [name.rpartition("/")[2] for name in told["halves"]] == [
        "run_half1_class001_unfil.mrc",
        "run_half2_class001_unfil.mrc",
    ]
    assert told["symmetry"] == "D3"
    orders = sorted(axis["order"] for axis in told["axes"])
    assert orders == [2, 2, 2, 3]
    main = next(axis for axis in told["axes"] if axis["order"] == 3)
    assert np.allclose(main["direction"], [0, 0, 1])
    assert told["colour_by"] == ["LocalRes/job005/relion_locres.mrc"]
    query = {"path": told["final"], "iteration": 1}
    at = client.get("/api/volumes/at", params=query).json()
    assert at["path"] == "Refine3D/job001/run_it001_half1_class001.mrc"
    missing = client.get("/api/volumes/at", params={**query, "iteration": 7}).json()
    assert missing["path"] is None


def test_classes_have_their_share_and_resolution(client):
    told = _scene(client, "Class3D/job002/run_it004_class002.mrc")
    assert [one["number"] for one in told["classes"]] == [1, 2, 3]
    assert [one["share"] for one in told["classes"]] == [0.5, 0.3, 0.2]
    assert [one["resolution_A"] for one in told["classes"]] == [9.0, None, 11.0]
    assert told["axes"] == []


def test_pairs_that_belong_together(client):
    mask = _scene(client, "MaskCreate/job003/mask.mrc")
    assert mask["shown"] == "Refine3D/job001/run_class001.mrc"
    assert mask["mask"] == "MaskCreate/job003/mask.mrc"
    post = _scene(client, "PostProcess/job004/postprocess.mrc")
    assert post["mask"] == "MaskCreate/job003/mask.mrc"
    assert post["colour_by"] == ["LocalRes/job005/relion_locres.mrc"]
    assert len(post["halves"]) == 2
    local = _scene(client, "LocalRes/job005/relion_locres.mrc")
    assert local["shown"] == "LocalRes/job005/relion_locres_filtered.mrc"
    assert local["colour_by"] == ["LocalRes/job005/relion_locres.mrc"]


def test_settings_that_point_outside_of_the_project_are_left_alone(client, root):
    write_volume(root.parent / "secret.mrc", _ball(), 2)
    _job(root, "MaskCreate/job006", "relion.maskcreate", fn_in="../secret.mrc")
    write_volume(root / "MaskCreate/job006/mask.mrc", _ball(), 2)
    told = _scene(client, "MaskCreate/job006/mask.mrc")
    assert told["shown"] == "MaskCreate/job006/mask.mrc"
    for route in ("scene", "at?iteration=1", "meta", "data"):
        mark = "&" if "?" in route else "?"
        answer = client.get(f"/api/volumes/{route}{mark}path=../secret.mrc")
        assert answer.status_code == 404, route


def _voxels(answer, form):
    assert answer.status_code == 200, answer.text
    shape = tuple(map(int, answer.headers["x-box"].split(",")))
    raw = answer.content
    values = np.frombuffer(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw, form)
    low, high = float(answer.headers["x-low"]), float(answer.headers["x-high"])
    return values.reshape(shape).astype(np.float64), low, high


def test_half_precision_voxels_are_the_map(client):
    query = {"path": "PostProcess/job004/postprocess.mrc", "box": 64, "form": "float16"}
    answer = client.get("/api/volumes/data", params=query)
    values, low, high = _voxels(answer, "<f2")
    assert answer.headers["x-form"] == "float16"
    assert values.min() >= 0
    assert values.max() == 1
    assert np.allclose(values * (high - low) + low, _ball(), atol=4e-4)


def test_a_low_pass_smooths_the_voxels(client):
    query = {"path": "PostProcess/job004/postprocess.mrc", "box": 64, "form": "float16"}
    sharp, *_ = _voxels(client.get("/api/volumes/data", params=query), "<f2")
    answer = client.get("/api/volumes/data", params={**query, "lowpass_A": 20})
    smooth, low, high = _voxels(answer, "<f2")
    smooth = smooth * (high - low) + low
    assert np.abs(np.diff(smooth)).max() < 0.6 * np.abs(np.diff(sharp)).max()
    assert smooth.mean() == pytest.approx(_ball().mean(), rel=0.2)


def test_a_surface_is_clear_where_nothing_is(client):
    query = {"path": "PostProcess/job004/postprocess.mrc", "threshold": 0.5, "size": 128}
    answer = client.get("/api/volumes/surface.png", params=query)
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (128, 128, 4)
    assert picture[64, 64, 3] == 255
    assert picture[4, 4, 3] == 0
    assert abs((picture[..., 3] > 127).mean() - np.pi * 0.25**2) < 0.02


def test_a_wire_of_one_voxel_is_seen_whole(root, client):
    wire = np.zeros((BOX,) * 3, np.float32)
    wire[16, 16, 6:26] = 1.0
    write_volume(root / "wire.mrc", wire, 2.0)
    query = {"path": "wire.mrc", "threshold": 0.9, "size": 128, "rot": 20}
    answer = client.get("/api/volumes/surface.png", params=query)
    alpha = np.asarray(Image.open(io.BytesIO(answer.content)))[..., 3] / 255
    along = np.arange(-8, 9) * 4 + 64  # of the wire, which is turned in the picture's plane
    turned = [max(alpha[64 + sign * round(0.364 * (x - 64)), x] for sign in (1, -1)) for x in along]
    assert min(turned) > 0.5
    assert 0.5 < alpha.sum() / (20 * 4 * 4) < 2  # as much as the wire covers


def test_surfaces_lie_over_each_other_and_are_seen_through(client):
    inner, outer = "PostProcess/job004/postprocess.mrc", "MaskCreate/job003/mask.mrc"
    query = {"path": inner, "threshold": 0.5, "size": 128}
    over = {"over": [outer], "over_threshold": [0.5], "over_colour": ["mask"]}

    def picture(**more):
        answer = client.get("/api/volumes/surface.png", params={**query, **more})
        assert answer.status_code == 200
        return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)

    alone, both = picture(), picture(**over)
    around = np.hypot(*(np.indices((128, 128)) - 64)) * 32 / 128
    ring = (around > 8.6) & (around < 10)
    assert alone[ring][:, 3].max() < 30
    assert 60 < both[ring][:, 3].mean() < 120  # seen through
    assert (both[ring][:, 0] - both[ring][:, 2]).mean() > 40  # yellow
    assert both[64, 64, 3] > 250
    assert both[64, 64, 0] - both[64, 64, 2] > alone[64, 64, 0] - alone[64, 64, 2] + 10
    blue = picture(colour="half1")
    assert blue[64, 64, 2] > blue[64, 64, 0] + 40
    for wrong in ({"over": [outer]}, {**over, "over": ["../secret.mrc"]}):
        answer = client.get("/api/volumes/surface.png", params={**query, **wrong})
        assert 400 <= answer.status_code < 500


def test_the_newest_map_of_a_job(tmp_path):
    project = small_project.make(tmp_path / "p")
    name = small_project.finished_external(project)
    with client_of(create_app(project.root, access=Access(TOKEN))) as client:
        n = client.get("/api/jobs").json()[0]["n"]
        none = client.get("/api/volumes/newest", params={"n": n}).json()
        assert none == {"path": None, "iteration": None}
        for iteration in (3, 12):
            write_volume(project.root / f"{name}run_it{iteration:03d}_class001.mrc", _ball(), 2)
        told = client.get("/api/volumes/newest", params={"n": n}).json()
        assert told == {"path": f"{name}run_it012_class001.mrc", "iteration": 12}
        assert client.get("/api/volumes/newest", params={"n": 99}).status_code in (404, 409)
