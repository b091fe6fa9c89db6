"""Select jobs on rows, and the same by relion_star_handler 3.1.3."""

import subprocess

import numpy as np
import pytest

from dataset import tables
from programs.jobs_made import run_job
from vitreous.errors import AbsentError, FormatError, InputError
from vitreous.io import Star, Table, read_mrc, read_star, write_mrc, write_star

N = 60


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with 60 particles in three micrographs, two optics groups, three classes."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(3)
    defocus = generator.uniform(5000, 20000, N).round()  # RELION reads limits in single precision
    defocus[7] = np.nan
    rows = tables.particles(
        [f"{i:06d}@stack.mrcs" for i in range(1, N + 1)],
        rlnMicrographName=[f"m{i // 20}.mrc" for i in range(N)],
        rlnCoordinateX=generator.integers(0, 60, N) * 1.0,
        rlnCoordinateY=generator.integers(0, 60, N) * 1.0,
        rlnOriginXAngst=generator.uniform(-4, 4, N).round(3),
        rlnOriginYAngst=generator.uniform(-4, 4, N).round(3),
        rlnOpticsGroup=[1 if i < 40 else 2 for i in range(N)],
        rlnDefocusU=defocus,
        rlnClassNumber=[i % 3 + 1 for i in range(N)],
        rlnMyOwn=["001"] * N,
    )
    images = generator.standard_normal((N, 12, 12)).astype(np.float32)
    images[11] += 9
    images[22] *= 7
    write_mrc(tmp_path / "stack.mrcs", images, 1.5)
    write_star(tmp_path / "p.star", tables.star(tables.optics(["gA", "gB"]), rows))
    return tmp_path


def select(project, **values):
    return run_job(project, "select", **{"fn_data": "p.star"} | values)


def kept(project, name="particles.star"):
    return read_star(project / "Select/job001" / name)["particles"]


def everything(project):
    return read_star(project / "p.star")["particles"]


def change_particles(project, **columns):
    star = read_star(project / "p.star")
    write_star(project / "p.star", star.with_table(star["particles"].with_columns(columns)))


class TestByValue:
    def test_rows_in_the_range_stay_as_they_are(self, project):
        values = {"select_label": "rlnDefocusU", "select_minval": 8000, "select_maxval": 15000}
        run = select(project, do_select_values=True, **values)
        rows = everything(project)
        inside = (rows["rlnDefocusU"] >= 8000) & (rows["rlnDefocusU"] <= 15000)
        assert kept(project) == rows.select(inside)
        assert run.headlines == {"selected": int(inside.sum()), "total": N}
        assert "NaN" in run.told
        assert sum(run.plots["values"]["series"][0]["counts"]) == N - 1

    def test_a_missing_label_is_refused_with_those_there_are(self, project):
        with pytest.raises(AbsentError, match="rlnCoordinateX"):
            select(project, do_select_values=True)
        assert not (project / "Select/job001/particles.star").exists()

    def test_an_empty_selection_fails(self, project):
        values = {"select_label": "rlnDefocusU", "select_minval": 9e5, "select_maxval": 1e6}
        with pytest.raises(InputError, match="None of the 60 rows has a rlnDefocusU of"):
            select(project, do_select_values=True, **values)

    def test_text_selects_and_unused_optics_groups_go(self, project):
        flags = "--select_by_str rlnMicrographName --select_include m2"
        select(project, do_select_values=True, other_args=flags)
        assert kept(project)["rlnOpticsGroup"].tolist() == [1] * 20
        optics = read_star(project / "Select/job001/particles.star")["optics"]
        assert optics["rlnOpticsGroupName"].tolist() == ["gB"]
        assert optics["rlnOpticsGroup"].tolist() == [1]

    def test_micrographs_are_selected_too(self, project):
        columns = {
            "rlnMicrographName": ["a", "b"],
            "rlnOpticsGroup": [1, 1],
            "rlnCtfMaxResolution": [3, 9],
        }
        rows = Table.from_columns("micrographs", columns)
        write_star(project / "mics.star", Star([tables.optics(), rows]))
        run_job(project, "select", fn_mic="mics.star", do_select_values=True, select_maxval=5)
        star = read_star(project / "Select/job001/micrographs.star")
        assert star["micrographs"]["rlnMicrographName"].tolist() == ["a"]


class TestDiscard:
    def test_images_unlike_the_others_go(self, project):
        run = select(project, do_discard=True)
        gone = set(everything(project)["rlnImageName"]) - set(kept(project)["rlnImageName"])
        assert gone == {"000012@stack.mrcs", "000023@stack.mrcs"}
        assert run.advanced == N
        assert run.warnings == []

    def test_unreadable_images_are_named_and_left_out(self, project):
        good = everything(project)["rlnImageName"].tolist()[3:]
        names = ["1@gone.mrcs", "99@stack.mrcs", "0@stack.mrcs", *good]
        change_particles(project, rlnImageName=names)
        run = select(project, do_discard=True)
        assert len(kept(project)) == N - 5
        assert "gone.mrcs" in run.told
        assert "row 2" in run.told
        assert "row 3" in run.told

    def test_images_that_are_not_there_at_all_fail_the_job(self, project):
        (project / "stack.mrcs").unlink()
        with pytest.raises(InputError, match="None of the 60 images can be read"):
            select(project, do_discard=True)
        with pytest.raises(AbsentError, match="rlnImageName, rlnMicrographName"):
            select(project, do_discard=True, discard_label="rlnFoo")


class TestSplit:
    def test_subsets_are_written_and_registered(self, project):
        run = select(project, do_split=True, split_size=25)
        sizes = [len(kept(project, f"particles_split{i}.star")) for i in (1, 2, 3)]
        assert sizes == [25, 25, 10]
        node_type = "ParticleGroupMetadata.star.relion"
        assert run.outputs[2] == ("Select/job001/particles_split3.star", node_type)
        assert not (project / "Select/job001/particles_split4.star").exists()

    def test_dropped_rows_are_told(self, project):
        run = select(project, do_split=True, split_size=25, nr_split=2)
        assert run.headlines["selected"] == 50
        assert "10 rows are in no subset" in run.told

    def test_shuffling_is_the_same_each_time_and_its_seed_is_told(self, project):
        values = {"do_split": True, "do_random": True, "split_size": -1, "nr_split": 3}
        run = select(project, **values)
        assert any("seed 1" in line for line in run.lines)
        first = kept(project, "particles_split1.star")
        select(project, **values)
        assert kept(project, "particles_split1.star") == first
        select(project, **values, other_args="--random_seed 5")
        assert kept(project, "particles_split1.star") != first
        names = [kept(project, f"particles_split{i}.star")["rlnImageName"] for i in (1, 2, 3)]
        assert sorted(np.concatenate(names)) == everything(project)["rlnImageName"].tolist()

    def test_fewer_rows_than_subsets_are_told(self, project):
        run = select(project, do_split=True, split_size=-1, nr_split=50)
        assert run.headlines["subsets"] == 30
        assert "only 30 subsets" in run.told


class TestDuplicates:
    def test_duplicates_go_to_a_file_of_their_own(self, project):
        run = select(project, do_remove_duplicates=True, duplicate_threshold=9, image_angpix=1.5)
        left, gone = kept(project), kept(project, "particles_removed.star")
        assert len(left) + len(gone) == N
        assert run.headlines["removed"] == len(gone) > 0
        assert run.warnings == []

    def test_without_the_pixel_size_of_micrographs_it_warns(self, project):
        run = select(project, do_remove_duplicates=True, duplicate_threshold=9)
        assert "1.5 Å, that of the particles" in run.told
        star = read_star(project / "p.star")
        optics = star["optics"].with_columns({"rlnMicrographPixelSize": [0.75, 0.75]})
        write_star(project / "p.star", star.with_table(optics))
        assert select(project, do_remove_duplicates=True).warnings == []

    def test_the_best_can_be_kept(self, project):
        at_one_place = dict.fromkeys(
            ("rlnCoordinateX", "rlnCoordinateY", "rlnOriginXAngst", "rlnOriginYAngst"), 5.0
        )
        change_particles(project, **at_one_place, rlnAutopickFigureOfMerit=np.arange(N) % 20 == 4)
        flags = "--keep_best rlnAutopickFigureOfMerit"
        select(project, do_remove_duplicates=True, image_angpix=1.5, other_args=flags)
        names = kept(project)["rlnImageName"].tolist()
        assert names == ["000005@stack.mrcs", "000025@stack.mrcs", "000045@stack.mrcs"]

    def test_particles_without_micrographs_are_refused(self, project):
        star = read_star(project / "p.star")
        rows = star["particles"].without("rlnMicrographName")
        write_star(project / "p.star", star.with_table(rows))
        with pytest.raises(FormatError, match="rlnMicrographName"):
            select(project, do_remove_duplicates=True, image_angpix=1.5)

    def test_particles_without_coordinates_stay(self, project):
        x = everything(project)["rlnCoordinateX"].copy()
        x[4] = np.nan
        change_particles(project, rlnCoordinateX=x)
        run = select(project, do_remove_duplicates=True, image_angpix=1.5)
        assert "000005@stack.mrcs" in kept(project)["rlnImageName"]
        assert "rows 5" in run.told


@pytest.mark.usefixtures("relion")
class TestAgainstRelion:
    """The same rows as relion_star_handler 3.1.3."""

    def handle(self, project, *flags):
        (project / "ref").mkdir(exist_ok=True)
        command = ["relion_star_handler", "--i", "p.star", "--o", "ref/particles.star", *flags]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def same(self, project, name="particles.star"):
        ours = read_star(project / "Select/job001" / name)
        theirs = read_star(project / "ref" / name)
        assert ours["particles"]["rlnImageName"].tolist() == (
            theirs["particles"]["rlnImageName"].tolist()
        )
        assert ours["particles"].labels == theirs["particles"].labels
        assert ours["optics"] == theirs["optics"]

    def test_by_value(self, project):
        low = float(np.sort(everything(project)["rlnDefocusU"])[10])
        flags = ["--minval", f"{low:f}", "--maxval", "15000"]
        self.handle(project, "--select", "rlnDefocusU", *flags)
        values = {"select_label": "rlnDefocusU", "select_minval": low, "select_maxval": 15000}
        select(project, do_select_values=True, **values)
        self.same(project)

    def test_on_statistics(self, project):
        self.handle(project, "--discard_on_stats", "--discard_sigma", "2")
        select(project, do_discard=True, discard_sigma=2)
        self.same(project)

    @pytest.mark.parametrize(("size", "number"), [(25, -1), (-1, 4), (7, 3)])
    def test_split(self, project, size, number):
        flags = ["--split"]
        flags += ["--nr_split", str(number)] if number > 0 else []
        flags += ["--size_split", str(size)] if size > 0 else []
        self.handle(project, *flags)
        select(project, do_split=True, split_size=size, nr_split=number)
        folders = (project / "ref", project / "Select/job001")
        names, ours = (sorted(p.name for p in x.glob("particles_split*.star")) for x in folders)
        assert names == ours
        for name in names:
            self.same(project, name)

    @pytest.mark.parametrize("threshold_A", [4, 9, 20])
    def test_duplicates(self, project, threshold_A):
        self.handle(project, "--remove_duplicates", str(threshold_A), "--image_angpix", "1.3")
        values = {"duplicate_threshold": threshold_A, "image_angpix": 1.3}
        select(project, do_remove_duplicates=True, **values)
        self.same(project)
        removed = read_star(project / "ref/particles_removed.star").first  # it has no optics
        ours = kept(project, "particles_removed.star")
        assert ours["rlnImageName"].tolist() == removed["rlnImageName"].tolist()

    def test_real_particles(self, project, data):
        folder = data / "betagal_10204"
        (project / "p.star").write_bytes((folder / "particles_consensus.star").read_bytes())
        for path in (folder / "Extract/job009/Movies").glob("*.mrcs"):
            target = project / path.relative_to(folder)  # RELION 3.1 does not read float16
            target.parent.mkdir(parents=True, exist_ok=True)
            write_mrc(target, read_mrc(path)[0].astype(np.float32), 3.54)
        self.handle(project, "--discard_on_stats", "--discard_sigma", "2.5")
        run = select(project, do_discard=True, discard_sigma=2.5)
        self.same(project)
        assert 0 < run.headlines["selected"] < 684
        self.handle(project, "--remove_duplicates", "150", "--image_angpix", "0.885")
        values = {"duplicate_threshold": 150, "image_angpix": 0.885}
        run = select(project, do_remove_duplicates=True, **values)
        self.same(project)
        assert run.headlines["removed"] > 0
        flags = ["--select", "rlnDefocusU", "--minval", "10500", "--maxval", "11000"]
        self.handle(project, *flags)
        values = {"select_label": "rlnDefocusU", "select_minval": 10500, "select_maxval": 11000}
        select(project, do_select_values=True, **values)
        self.same(project)


def test_rows_of_relion_30_get_optics_groups(project, data):
    for name in ("empiar_10076_7.star", "empiar_10076_7.mrc"):
        (project / name).write_bytes((data / "particles_small" / name).read_bytes())
    values = {"select_label": "rlnDefocusU", "select_minval": 15200, "select_maxval": 15400}
    select(project, fn_data="empiar_10076_7.star", do_select_values=True, **values)
    star = read_star(project / "Select/job001/particles.star")
    assert len(star["particles"]) == 4
    assert star["optics"].value("rlnImageSize") == 320


def test_filaments_say_that_they_are_not_built(project):
    with pytest.raises(InputError, match=r"dendrogram.*is not part of this version"):
        select(project, fn_data="", fn_model="x_optimiser.star", do_filaments=True)
