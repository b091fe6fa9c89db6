"""Import jobs: movies and micrographs, and everything made elsewhere."""

import bz2
import lzma
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dataset import fabricated, tables
from programs.jobs_made import run_job
from vitreous.errors import FormatError, InputError, MissingFileError, OptionError
from vitreous.io import Star, Table, read_star, read_volume, write_mrc, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.jobs.context import Aborted
from vitreous.jobs.import_ import KINDS

KIND = {node_type: text for text, node_type in KINDS.items()}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for folder, ending, shape in (("Movies", "mrcs", (4, 16, 16)), ("Mics", "mrc", (16, 16))):
        (tmp_path / folder).mkdir()
        for i in range(3):
            frames = generator.standard_normal(shape).astype(np.float32)
            write_mrc(tmp_path / f"{folder}/m{i}.{ending}", frames, 0.9)
    (tmp_path / "mtf.star").write_text(
        "data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0 1\n0.5 0.3\n\n"
    )
    return tmp_path


def import_movies(project, pattern="Movies/*.mrcs", **values):
    return run_job(project, "import", fn_in_raw=pattern, **{"angpix": 0.9} | values)


def import_other(project, kind, file, **values):
    return run_job(
        project, "import", do_raw=False, do_other=True, fn_in_other=file, node_type=kind, **values
    )


def kind_of(words):
    (found,) = [text for text in KINDS if words in text]
    return found


def movies(project):
    return read_star(project / "Import/job001/movies.star")


class TestMoviesAndMicrographs:
    def test_movies_are_listed_in_order(self, project):
        run = import_movies(project, fn_mtf="mtf.star")
        star = movies(project)
        assert star["movies"]["rlnMicrographMovieName"].tolist() == [
            f"Movies/m{i}.mrcs" for i in range(3)
        ]
        assert star["optics"].value("rlnMtfFileName") == "mtf.star"
        assert run.warnings == []
        assert run.headlines["imported"] == 3
        assert run.headlines["optics_groups"] == 1

    def test_micrographs_are_listed(self, project):
        run = run_job(project, "import", fn_in_raw="Mics/*", is_multiframe=False, angpix=0.9)
        star = read_star(project / "Import/job001/micrographs.star")
        assert len(star["micrographs"]) == 3
        assert star["optics"].value("rlnMicrographPixelSize") == 0.9
        assert run.warnings == []

    def test_continuing_adds_what_is_new(self, project):
        import_movies(project, "Movies/m[01].mrcs")
        run = import_movies(project, is_continue=True)
        assert run.headlines["new"] == 1
        assert len(movies(project)["movies"]) == 3
        before = (project / "Import/job001/movies.star").read_bytes()
        run = import_movies(project, is_continue=True)
        assert run.headlines["new"] == 0
        assert (project / "Import/job001/movies.star").read_bytes() == before

    def test_continuing_in_pieces_equals_one_import(self, project):
        import_movies(project, "Movies/m0.mrcs")
        import_movies(project, is_continue=True)
        in_pieces = (project / "Import/job001/movies.star").read_bytes()
        import_movies(project)
        assert (project / "Import/job001/movies.star").read_bytes() == in_pieces

    def test_continuing_with_another_group(self, project):
        import_movies(project, "Movies/m[01].mrcs")
        import_movies(
            project, "Movies/m2.mrcs", is_continue=True, optics_group_name="og2", beamtilt_x=0.1
        )
        star = movies(project)
        assert star["movies"]["rlnOpticsGroup"].tolist() == [1, 1, 2]
        assert star["optics"]["rlnBeamTiltX"].tolist() == [0.0, 0.1]
        with pytest.raises(InputError, match="in optics group opticsGroup1"):
            import_movies(project, is_continue=True, optics_group_name="og2", beamtilt_x=0.1)
        with pytest.raises(InputError, match="with other values"):
            import_movies(project, is_continue=True, kV=200)
        assert len(movies(project)["movies"]) == 3

    @pytest.mark.parametrize("pattern", ["/data/*.tif", "../Movies/*.mrcs", "Movies/../*.mrcs"])
    def test_files_outside_the_project_are_refused(self, project, pattern):
        with pytest.raises(OptionError, match=r"ln -s"):
            import_movies(project, pattern)

    def test_all_bad_values_are_told_at_once(self, project):
        with pytest.raises(OptionError) as caught:
            import_movies(
                # Variables of a Scheme that nobody filled in: they count as 0.
                project,
                "../x",
                angpix="$$angpix",
                kV="$$kV",
                optics_group_name="a_b",
                fn_mtf="no.star",
            )
        told = {problem.option for problem in caught.value.problems}
        assert told == {"images", "pixel_size_A", "voltage_kV", "optics_group", "mtf"}
        assert not (project / "Import/job001/movies.star").exists()

    def test_a_pattern_without_files_tells_what_is_there(self, project):
        with pytest.raises(MissingFileError, match=r"Movies has m0.mrcs, m1.mrcs, m2.mrcs"):
            import_movies(project, "Movies/*.tif")
        with pytest.raises(MissingFileError, match="there is no folder Nowhere"):
            import_movies(project, "Nowhere/*.tif")

    def test_empty_and_unreadable_files_are_skipped_and_named(self, project):
        (project / "Movies/a0.mrcs").touch()
        (project / "Movies/a1.mrcs").write_text("this is no movie")
        run = import_movies(project)
        assert len(movies(project)["movies"]) == 3
        assert "Empty files" in run.told
        assert "Movies/a0.mrcs" in run.told
        assert "Movies/a1.mrcs" in run.told

    def test_a_job_without_any_usable_file_fails(self, project):
        for i in range(3):
            (project / f"Movies/m{i}.mrcs").write_text("this is no movie")
        with pytest.raises(InputError, match="none of the 3 files that match can be used"):
            import_movies(project)

    def test_another_pixel_size_in_the_header_is_told(self, project):
        assert (
            "The header says 0.9 Å per pixel, the option says 1 Å"
            in import_movies(project, angpix=1.0).told
        )
        assert import_movies(project, angpix=0.905).warnings == []

    @pytest.mark.parametrize("ending", ["tif", "mrcs.bz2", "mrc.xz"])
    def test_movies_of_other_formats_are_opened(self, project, ending):
        folder = project / "Other"
        folder.mkdir()
        whole = (project / "Movies/m0.mrcs").read_bytes()
        pack = {"bz2": bz2.compress, "xz": lzma.compress}.get(ending.partition(".")[2])
        if pack is None:
            frames = np.ones((4, 16, 16), np.uint8)
            tifffile.imwrite(folder / "x.tif", frames, photometric="minisblack")
        else:
            (folder / f"x.{ending}").write_bytes(pack(whole))
        (folder / f"broken.{ending}").write_text("this is no movie")
        run = import_movies(project, f"Other/*.{ending}")
        assert movies(project)["movies"]["rlnMicrographMovieName"].tolist() == [f"Other/x.{ending}"]
        assert "broken" in run.told
        assert len(run.warnings) == 1

    def test_an_mtf_must_be_one(self, project):
        write_star(project / "o.star", [tables.optics()])
        with pytest.raises(OptionError, match="none of them has a column rlnMtfValue"):
            import_movies(project, fn_mtf="o.star")

    def test_single_frames_are_no_movies(self, project):
        assert "only one frame" in import_movies(project, "Mics/*.mrc").told

    def test_files_of_one_name_are_told(self, project):
        (project / "Movies2").symlink_to("Movies")
        assert "Movies/m0.mrcs, Movies2/m0.mrcs" in import_movies(project, "Movies*/*.mrcs").told

    def test_stopping_leaves_no_half_list(self, project):
        with pytest.raises(Aborted):
            import_movies(project, abort_after=1)
        assert not (project / "Import/job001/movies.star").exists()

    def test_many_files_take_time_in_proportion(self, project):
        folder = project / "Many"
        folder.mkdir()
        whole = (project / "Movies/m0.mrcs").read_bytes()
        for i in range(3000):
            (folder / f"x{i:05d}.mrcs").write_bytes(whole[:1100] if i else whole)
        run = import_movies(project, "Many/*.mrcs")
        run = import_movies(project, "Many/*.mrcs", is_continue=True)
        assert run.headlines["imported"] == 3000


@pytest.mark.usefixtures("relion")
class TestAgainstRelion:
    """The same files as relion_import 3.1.3."""

    def relion_import(self, *flags):
        Path("Import/ref").mkdir(parents=True, exist_ok=True)
        command = ["relion_import", "--odir", "Import/ref/", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_movies_and_a_second_group(self, project):
        common = ["--do_movies", "--ofile", "movies.star", "--Cs", "2.7", "--Q0", "0.1"]
        self.relion_import(
            *common, "--i", "Movies/m[01].mrcs", "--angpix", "0.9", "--kV", "300",
            "--optics_group_mtf", "mtf.star",
        )  # fmt: skip
        import_movies(project, "Movies/m[01].mrcs", fn_mtf="mtf.star")
        self.same("movies.star")
        self.relion_import(
            *common, "--i", "Movies/m2.mrcs", "--angpix", "0.8", "--kV", "200", "--continue",
            "--optics_group_name", "og2", "--beamtilt_x", "0.1", "--beamtilt_y", "0.2",
        )  # fmt: skip
        import_movies(
            project, "Movies/m2.mrcs", is_continue=True, optics_group_name="og2", angpix=0.8,
            kV=200, beamtilt_x=0.1, beamtilt_y=0.2,
        )  # fmt: skip
        self.same("movies.star")

    def test_micrographs(self, project):
        self.relion_import(
            "--do_micrographs", "--ofile", "micrographs.star", "--i", "Mics/*.mrc",
            "--angpix", "0.9",
        )  # fmt: skip
        run_job(project, "import", fn_in_raw="Mics/*.mrc", is_multiframe=False, angpix=0.9)
        self.same("micrographs.star")

    def test_coordinates(self, project):
        pick_files(project, "Mics")
        self.relion_import(
            "--do_coordinates", "--i", "Mics/*_pick.star", "--ofile", "coords_suffix_pick.star"
        )
        import_other(project, kind_of("coordinates"), "Mics/*_pick.star")
        ours, theirs = (project / "Import/job001", project / "Import/ref")
        assert (ours / "coords_suffix_pick.star").read_text() == (
            theirs / "coords_suffix_pick.star"
        ).read_text()
        files = [path.relative_to(theirs) for path in theirs.rglob("*_pick.star")]
        assert all((ours / file).exists() for file in files)

    def same(self, name):
        ours, theirs = (read_star(f"Import/{job}/{name}") for job in ("job001", "ref"))
        assert list(ours) == list(theirs)
        for table in theirs:
            assert ours[table].labels == theirs[table].labels
            assert list(map(str, ours[table].rows())) == list(map(str, theirs[table].rows()))


def pick_files(project, folder):
    for i in range(2):
        table = {"rlnCoordinateX": [1.0, 2.0], "rlnCoordinateY": [3.0, 4.0]}
        write_star(project / folder / f"m{i}_pick.star", [Table.from_columns("", table)])


class TestCoordinates:
    def test_a_pattern_gives_the_old_form(self, project):
        pick_files(project, "Mics")
        run = import_other(project, kind_of("coordinates"), "Mics/*_pick.star")
        node = "Import/job001/coords_suffix_pick.star"
        assert (project / node).read_text() == "Mics/*.mrc\n"
        picks = read_coordinates(node, project, ["Mics/m0.mrc", "Mics/m1.mrc", "Mics/m2.mrc"])
        assert [name for name, _ in picks] == ["Mics/m0.mrc", "Mics/m1.mrc"]
        assert run.headlines["imported"] == 2
        assert run.headlines["coordinates"] == 4

    def test_picks_of_another_job_lie_where_extraction_looks(self, project):
        (project / "External/job004/Mics").mkdir(parents=True)
        pick_files(project, "External/job004/Mics")
        import_other(project, kind_of("coordinates"), "External/job004/Mics/*_pick.star")
        picks = read_coordinates(
            "Import/job001/coords_suffix_pick.star", project, ["MotionCorr/job002/Mics/m0.mrc"]
        )
        assert len(picks) == 1

    def test_boxes_are_taken_too(self, project):
        (project / "Mics/m0.box").write_text("10 20 30 40\n")
        import_other(project, kind_of("coordinates"), "Mics/*.box")
        picks = read_coordinates("Import/job001/coords_suffix.box", project, ["Mics/m0.mrc"])
        assert picks[0][1]["rlnCoordinateX"].tolist() == [25.0]

    def test_a_list_gives_the_new_form(self, project):
        pick_files(project, "Mics")
        pairs = [(f"Mics/m{i}.mrc", f"Mics/m{i}_pick.star") for i in range(3)]
        labels = ("rlnMicrographName", "rlnMicrographCoordinates")
        write_star(project / "list.star", [Table.from_rows("coordinate_files", labels, pairs)])
        run = import_other(project, kind_of("coordinates"), "list.star")
        node = "Import/job001/coords_suffixlist.star"
        listed = read_star(project / node)["coordinate_files"]
        assert listed["rlnMicrographCoordinates"].tolist() == [
            f"Import/job001/Mics/m{i}_pick.star" for i in range(2)
        ]
        assert "m2_pick.star" in run.told
        assert len(read_coordinates(node, project)) == 2

    def test_a_file_without_coordinates_is_skipped(self, project):
        pick_files(project, "Mics")
        (project / "Mics/m9_pick.star").write_text("data_\n\nloop_\n_rlnImageName #1\n1@a\n\n")
        run = import_other(project, kind_of("coordinates"), "Mics/*_pick.star")
        assert run.headlines["imported"] == 2
        assert "m9_pick.star" in run.told

    def test_nothing_usable_fails(self, project):
        with pytest.raises(MissingFileError, match="No coordinate file matches"):
            import_other(project, kind_of("coordinates"), "Mics/*_none.star")
        (project / "Mics/m9_pick.star").write_text("not a STAR file")
        with pytest.raises(InputError, match="None of the 1 coordinate files"):
            import_other(project, kind_of("coordinates"), "Mics/*_pick.star")
        with pytest.raises(InputError, match="symbolic link"):
            import_other(project, kind_of("coordinates"), "../Mics/*_pick.star")


class TestParticles:
    @pytest.fixture
    def good(self, project):
        images = fabricated.particles(12)
        write_mrc(project / "stack.mrcs", images, 3.5)
        names = [f"{i:06d}@stack.mrcs" for i in range(1, 13)]
        optics = tables.optics(rlnImagePixelSize=[3.5])
        rows = tables.particles(
            names, rlnDefocusU=[12000.0] * 12, rlnDefocusV=[12000.0] * 12,
            rlnDefocusAngle=[0.0] * 12, rlnMyOwn=["001"] * 12,
        )  # fmt: skip
        write_star(project / "p.star", tables.star(optics, rows))
        return images

    def test_all_columns_travel_through(self, project, good):
        run = import_other(project, kind_of("Particles"), "p.star")
        assert read_star(project / "Import/job001/p.star") == read_star(project / "p.star")
        assert run.warnings == []
        assert run.headlines["imported"] == 12
        assert run.headlines["checked"] == 12
        power = run.plots["power_spectrum"]["series"]
        assert len(power[0]["x"]) == len(power[0]["y"]) > 30

    def test_the_optics_group_gets_a_new_name(self, project, good):
        import_other(project, kind_of("Particles"), "p.star", optics_group_particles="abc")
        star = read_star(project / "Import/job001/p.star")
        assert star["optics"]["rlnOpticsGroupName"].tolist() == ["abc"]

    def test_several_optics_groups_are_not_renamed(self, project, data):
        file = data / "particles_small/relion31.6opticsgroups.star"
        (project / "p6.star").write_bytes(file.read_bytes())
        with pytest.raises(InputError, match="6 optics groups"):
            import_other(project, kind_of("Particles"), "p6.star", optics_group_particles="abc")
        assert not (project / "Import/job001/p6.star").exists()
        run = import_other(project, kind_of("Particles"), "p6.star")
        assert "could be read" in run.told
        assert (
            read_star(project / "Import/job001/p6.star")["particles"]
            == (read_star(file)["particles"])
        )

    def test_inverted_particles_are_told(self, project, good):
        write_mrc(project / "stack.mrcs", -good, 3.5)
        assert "dark" in import_other(project, kind_of("Particles"), "p.star").told

    def test_particles_of_relion_30_get_optics_groups(self, project, data):
        folder = data / "particles_small"
        for name in ("empiar_10076_7.star", "empiar_10076_7.mrc"):
            (project / name).write_bytes((folder / name).read_bytes())
        import_other(project, kind_of("Particles"), "empiar_10076_7.star")
        star = read_star(project / "Import/job001/empiar_10076_7.star")
        assert star["optics"].value("rlnImagePixelSize") == pytest.approx(1.31, abs=0.001)
        assert star["optics"].value("rlnImageSize") == 320
        assert len(star["particles"]) == 7

    def test_particles_of_cryosparc_are_converted(self, project, data):
        name = "cryosparc_J2_particles_exported.cs"
        (project / name).write_bytes((data / "particles_small" / name).read_bytes())
        import_other(project, kind_of("Particles"), name)
        star = read_star(project / "Import/job001/cryosparc_J2_particles_exported.star")
        assert len(star["particles"]) == 22

    def test_the_real_project_with_a_wrong_ctf_is_told(self, project, data):
        folder = data / "betagal_10204"
        (project / "Extract").symlink_to(folder / "Extract")
        (project / "p.star").write_bytes((folder / "particles_as_extracted.star").read_bytes())
        run = import_other(project, kind_of("Particles"), "p.star")
        assert len(run.warnings) == 2
        assert "The optics groups name an MTF file that is not there" in run.told
        (project / "mtf_k2_200kV.star").write_text("")
        run = import_other(project, kind_of("Particles"), "p.star")
        assert len(run.warnings) == 1
        assert "rows say 3.64 µm, its images fit 1.07 µm" in run.told
        assert len(run.plots["defocus_check"]["series"]) == 10
        (project / "p.star").write_bytes((folder / "particles_consensus.star").read_bytes())
        assert import_other(project, kind_of("Particles"), "p.star").warnings == []

    def test_a_file_without_particles_is_refused(self, project):
        write_star(project / "p.star", [tables.optics()])
        with pytest.raises(FormatError, match="none of them has a column rlnImageName"):
            import_other(project, kind_of("Particles"), "p.star")
        with pytest.raises(MissingFileError, match=r"nothing\.star: no such file"):
            import_other(project, kind_of("Particles"), "nothing.star")
        (project / "p.star").write_text("")
        with pytest.raises(FormatError, match="it is empty, wanted a table with a column"):
            import_other(project, kind_of("Particles"), "p.star")

    def test_particles_without_any_optics_are_told_what_they_lack(self, project):
        (project / "p.star").write_text("data_particles\r\nloop_\r\n_rlnImageName\r\n1@a.mrcs\r\n")
        with pytest.raises(FormatError, match=r"no data_optics, and its rows lack .*\(rlnVoltage"):
            import_other(project, kind_of("Particles"), "p.star")

    def test_an_unknown_optics_group_is_refused(self, project):
        rows = tables.particles(rlnOpticsGroup=[1, 2])
        write_star(project / "p.star", tables.star(tables.optics(), rows))
        with pytest.raises(FormatError, match="row 2: rlnOpticsGroup is 2"):
            import_other(project, kind_of("Particles"), "p.star")


class TestMapsAndOthers:
    def volume(self, path, size=16, pixel=1.5, low=0.0, high=1.0):
        values = np.linspace(low, high, size**3, dtype=np.float32).reshape(size, size, size)
        write_mrc(path, values, pixel)

    def test_a_map_is_copied_as_it_is(self, project):
        self.volume(project / "ref.mrc")
        run = import_other(project, kind_of("3D reference"), "ref.mrc")
        assert (project / "Import/job001/ref.mrc").read_bytes() == (
            project / "ref.mrc"
        ).read_bytes()
        assert run.warnings == []
        assert run.headlines["box"] == 16

    def test_an_image_is_no_map(self, project):
        with pytest.raises(FormatError, match="one section"):
            import_other(project, kind_of("3D reference"), "Mics/m0.mrc")
        with pytest.raises(FormatError, match="a stack of 4 images"):
            import_other(project, kind_of("3D reference"), "Movies/m0.mrcs")

    def test_odd_maps_are_told(self, project):
        self.volume(project / "ref.mrc", size=15)
        assert "even cube" in import_other(project, kind_of("3D reference"), "ref.mrc").told

    @pytest.mark.parametrize(("high", "words"), [(7.0, "0 to 1"), (1.0, "")])
    def test_masks_go_from_0_to_1(self, project, high, words):
        self.volume(project / "mask.mrc", high=high)
        told = import_other(project, kind_of("mask"), "mask.mrc").told
        assert words in told
        assert bool(told) == bool(words)

    def test_a_hard_mask_is_told(self, project):
        write_mrc(project / "mask.mrc", np.indices((16, 16, 16))[0] % 2, 1.5)
        assert "hard edge" in import_other(project, kind_of("mask"), "mask.mrc").told

    def test_both_halves_come(self, project):
        (project / "maps").mkdir()
        for half in (1, 2):
            self.volume(project / f"maps/run_half{half}_unfil.mrc", high=half)
        import_other(project, kind_of("half-map"), "maps/run_half2_unfil.mrc")
        for half in (1, 2):
            copied = read_volume(project / f"Import/job001/run_half{half}_unfil.mrc")
            assert copied.data.max() == half

    def test_half_maps_that_do_not_fit_are_refused(self, project):
        self.volume(project / "run_half1.mrc")
        with pytest.raises(MissingFileError, match=r"run_half2\.mrc: the other half"):
            import_other(project, kind_of("half-map"), "run_half1.mrc")
        self.volume(project / "run_half2.mrc", size=18)
        with pytest.raises(FormatError, match="agree in both"):
            import_other(project, kind_of("half-map"), "run_half1.mrc")
        self.volume(project / "ref.mrc")
        with pytest.raises(InputError, match="neither half1 nor half2"):
            import_other(project, kind_of("half-map"), "ref.mrc")
        assert not list((project / "Import/job001").glob("*.mrc"))

    def test_references_are_copied(self, project):
        run = import_other(project, kind_of("references"), "Movies/m0.mrcs")
        assert run.headlines["imported"] == 4
        assert (project / "Import/job001/m0.mrcs").exists()
        table = Table.from_columns("", {"rlnReferenceImage": ["1@Movies/m0.mrcs"]})
        write_star(project / "refs.star", [table])
        assert import_other(project, kind_of("references"), "refs.star").headlines["imported"] == 1

    def test_a_list_of_micrographs_is_copied(self, project):
        optics = tables.optics()
        rows = Table.from_columns(
            "micrographs",
            {"rlnMicrographName": ["Mics/m0.mrc", "gone.mrc"], "rlnOpticsGroup": [1, 1]},
        )
        write_star(project / "mics.star", Star([optics, rows]))
        run = import_other(project, kind_of("Micrographs STAR"), "mics.star")
        assert read_star(project / "Import/job001/mics.star")["micrographs"] == rows
        assert "1 of 2 micrographs are not there" in run.told
