"""The flowchart: what is in it, and that it is drawn."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from projects import DONE, files, write

from vitreous.project import node_types as types
from vitreous.project.aliases import set_alias
from vitreous.project.flowchart import draw, flowchart_svg, make_flowchart
from vitreous.project.folder import ProjectFolder
from vitreous.project.history import history
from vitreous.project.pipeline import Pipeline, Status
from vitreous.project.row_count import count_rows

SVG = "{http://www.w3.org/2000/svg}"


def star(block: str, n_rows: int) -> str:
    rows = "".join(f"row{i} 1 \n" for i in range(n_rows))
    optics = "data_optics\n\nloop_ \n_rlnOpticsGroup #1 \n1 \n2 \n \n\n"
    return f"{optics}# version 50001\n\ndata_{block}\n\nloop_ \n_rlnA #1 \n_rlnB #2 \n{rows} \n"


def job(
    pipeline: Pipeline, folder: str, label: str, inputs: dict[str, str], outputs: dict[str, str]
) -> str:
    process = pipeline.add_process(folder, label, DONE)
    for name, node_type in inputs.items():
        pipeline.add_input(process.name, name, node_type)
    for name, node_type in outputs.items():
        pipeline.add_output(process.name, process.name + name, node_type)
    return process.name


def tutorial(root: Path) -> ProjectFolder:
    """Make a project like that of the tutorial: 17 jobs, masks, references, joined particles."""
    folder = ProjectFolder.create(root)
    mics, parts, maps = types.MICROGRAPHS, types.PARTICLES, types.DENSITY_MAP
    with folder.edit("tutorial") as p:
        a = job(p, "Import", "relion.import.movies", {}, {"movies.star": types.MOVIES})
        b = job(
            p,
            "MotionCorr",
            "relion.motioncorr.own",
            {f"{a}movies.star": types.MOVIES},
            {"corrected_micrographs.star": mics},
        )
        c = job(
            p,
            "CtfFind",
            "relion.ctffind.ctffind4",
            {f"{b}corrected_micrographs.star": mics},
            {"micrographs_ctf.star": mics, "logfile.pdf": types.LOG_PDF},
        )
        ctf = f"{c}micrographs_ctf.star"
        d = job(
            p, "AutoPick", "relion.autopick.log", {ctf: mics}, {"autopick.star": types.COORDINATES}
        )
        e = job(
            p,
            "Extract",
            "relion.extract",
            {ctf: mics, f"{d}autopick.star": types.COORDINATES},
            {"particles.star": parts},
        )
        f = job(
            p,
            "Class2D",
            "relion.class2d",
            {f"{e}particles.star": parts},
            {"run_it025_optimiser.star": types.OPTIMISER},
        )
        g = job(
            p,
            "Select",
            "relion.select.interactive",
            {f"{f}run_it025_optimiser.star": types.OPTIMISER},
            {"particles.star": parts, "class_averages.star": types.IMAGES_2D},
        )
        h = job(
            p,
            "AutoPick",
            "relion.autopick.ref2d",
            {ctf: mics, f"{g}class_averages.star": types.IMAGES_2D},
            {"autopick.star": types.COORDINATES},
        )
        i = job(
            p,
            "Extract",
            "relion.extract",
            {ctf: mics, f"{h}autopick.star": types.COORDINATES},
            {"particles.star": parts},
        )
        j = job(
            p,
            "JoinStar",
            "relion.joinstar.particles",
            {f"{i}particles.star": parts, f"{g}particles.star": parts, "Data/older.star": parts},
            {"join_particles.star": parts},
        )
        k = job(
            p,
            "InitialModel",
            "relion.initialmodel",
            {f"{g}particles.star": parts},
            {"initial_model.mrc": maps},
        )
        m = job(
            p,
            "Refine3D",
            "relion.refine3d",
            {f"{j}join_particles.star": parts, f"{k}initial_model.mrc": maps},
            {
                "run_data.star": parts,
                "run_class001.mrc": maps,
                "run_half1_class001_unfil.mrc": types.HALF_MAP,
            },
        )
        n = job(
            p,
            "MaskCreate",
            "relion.maskcreate",
            {f"{m}run_class001.mrc": maps},
            {"mask.mrc": types.MASK},
        )
        o = job(
            p,
            "CtfRefine",
            "relion.ctfrefine",
            {f"{m}run_data.star": parts, f"{n}mask.mrc": types.MASK},
            {"particles_ctf_refine.star": parts},
        )
        q = job(
            p,
            "Refine3D",
            "relion.refine3d",
            {
                f"{o}particles_ctf_refine.star": parts,
                f"{m}run_class001.mrc": maps,
                f"{n}mask.mrc": types.MASK,
            },
            {"run_half1_class001_unfil.mrc": types.HALF_MAP},
        )
        r = job(
            p,
            "PostProcess",
            "relion.postprocess",
            {f"{q}run_half1_class001_unfil.mrc": types.HALF_MAP, f"{n}mask.mrc": types.MASK},
            {"postprocess.mrc": types.FINAL_MAP},
        )
        job(
            p,
            "LocalRes",
            "relion.localres.own",
            {f"{q}run_half1_class001_unfil.mrc": types.HALF_MAP, f"{n}mask.mrc": types.MASK},
            {"relion_locres.mrc": types.LOCRES_MAP},
        )
        p.set_status(r, Status.RUNNING)
    for name, block, rows in (
        (f"{a}movies.star", "movies", 24),
        (f"{b}corrected_micrographs.star", "micrographs", 24),
        (ctf, "micrographs", 24),
        (f"{e}particles.star", "particles", 5432),
        (f"{g}particles.star", "particles", 1),
        (f"{g}class_averages.star", "", 6),
        (f"{i}particles.star", "particles", 9876),
        (f"{j}join_particles.star", "particles", 9877),
        (f"{o}particles_ctf_refine.star", "particles", 9877),
    ):
        write(root, [name], star(block, rows))
    set_alias(folder, m, "first_refinement")
    return folder


def test_the_main_chain_walks_upwards_and_has_counts(tmp_path: Path) -> None:
    folder = tutorial(tmp_path)
    pipeline = folder.read()
    charts = history(tmp_path, pipeline, pipeline.find(16))
    main = charts[0]
    assert [step.job.number for step in main.steps] == [16, 15, 14, 12, 10]
    assert [step.main.label if step.main else "" for step in main.steps] == [
        "half-map",
        "9,877 particles",
        "particles",
        "9,877 particles",
        "",
    ]
    assert [(s.label, s.side, s.job.number) for s in main.steps[1].sides if s.job] == [
        ("3D ref", "right", 12),
        ("mask", "left", 13),
    ]
    assert [s.label for s in main.steps[-1].parents] == [
        "9,876 particles",
        "1 particle",
        "particles",
    ]


def test_every_ancestor_is_in_one_chart_and_all_references_lead_somewhere(tmp_path: Path) -> None:
    folder = tutorial(tmp_path)
    pipeline = folder.read()
    charts = history(tmp_path, pipeline, pipeline.find(16))
    shown = [step.job.number for chart in charts for step in chart.steps]
    assert sorted(shown) == list(range(1, 17))
    numbers = {chart.number: {step.job.name for step in chart.steps} for chart in charts}
    for chart in charts:
        for name, number in chart.links:
            assert name in numbers[number]
        above = chart.steps[-1].main
        if above and above.job:
            assert above.job.name in numbers[chart.above or 0]


def test_a_long_chain_is_split_after_ten_steps(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        last = job(pipeline, "Import", "relion.import", {}, {"p.star": types.PARTICLES})
        for _ in range(24):
            last = job(
                pipeline,
                "Select",
                "relion.select",
                {f"{last}p.star": types.PARTICLES},
                {"p.star": types.PARTICLES},
            )
    charts = history(tmp_path, pipeline, pipeline.find(last))
    assert [len(chart.steps) for chart in charts] == [10, 10, 5]
    assert [chart.above for chart in charts] == [2, 3, None]
    pictures = draw(tmp_path, pipeline, pipeline.find(last))
    assert len(pictures[0].boxes) == 25


def test_joining_shows_four_parents_and_stops(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        made = [
            job(pipeline, "Extract", "relion.extract", {}, {"p.star": types.PARTICLES})
            for _ in range(6)
        ]
        inputs = {f"{name}p.star": types.PARTICLES for name in made}
        last = job(pipeline, "JoinStar", "relion.joinstar.particles", inputs, {})
    charts = history(tmp_path, pipeline, pipeline.find(last))
    assert len(charts[0].steps) == 1
    assert [s.job.number for s in charts[0].steps[0].parents if s.job] == [1, 2, 3, 4]


def test_a_circle_in_a_broken_file_does_not_hang(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        a = job(pipeline, "Select", "relion.select", {}, {"p.star": types.PARTICLES})
        b = job(
            pipeline,
            "Select",
            "relion.select",
            {f"{a}p.star": types.PARTICLES},
            {"p.star": types.PARTICLES},
        )
        pipeline.add_input(a, f"{b}p.star", types.PARTICLES)
    charts = history(tmp_path, pipeline, pipeline.find(a))
    assert [step.job.number for step in charts[0].steps] == [1, 2]


def test_svg_and_pdf_are_made_and_the_pdf_is_an_output(tmp_path: Path) -> None:
    folder = tutorial(tmp_path)
    svg, pdf = make_flowchart(folder, 16)
    assert pdf.read_bytes().startswith(b"%PDF-")
    pages = pdf.read_bytes().count(b"/Type /Page\n") or pdf.read_bytes().count(b"/Type /Page ")
    root = ElementTree.fromstring(svg.read_text())
    groups = [g.attrib["id"] for g in root.iter(f"{SVG}g")]
    assert pages == len(groups)
    assert groups[0] == "chart0"
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"PostProcess/job016", "9,877 particles", "first_refinement", "older.star"} <= texts
    assert "running" in texts
    targets = {a.attrib["href"].removeprefix("#") for a in root.iter(f"{SVG}a")}
    assert targets
    assert targets <= set(groups)
    node = folder.read().nodes["PostProcess/job016/flowchart.pdf"]
    assert types.to_number(node.type_label) == 13
    assert folder.read().producer(node.name) == "PostProcess/job016/"


def test_looking_at_a_flowchart_writes_nothing(tmp_path: Path) -> None:
    folder = tutorial(tmp_path)
    before = files(tmp_path)
    assert flowchart_svg(
        ProjectFolder.open(tmp_path, read_only=True), "LocalRes/job017"
    ).startswith("<svg")
    assert files(tmp_path) == before
    assert folder.read().find(17).number == 17


@pytest.mark.parametrize("number", [1, 5, 10, 12, 15, 16])
def test_no_boxes_overlap_and_all_lie_in_the_picture(tmp_path: Path, number: int) -> None:
    folder = tutorial(tmp_path)
    pipeline = folder.read()
    for picture in draw(tmp_path, pipeline, pipeline.find(number)):
        for box in picture.boxes:
            assert box.width / 2 <= box.x <= picture.width - box.width / 2
            assert box.height / 2 <= box.y <= picture.height - box.height / 2
        for a, b in combinations(picture.boxes, 2):
            apart = (
                abs(a.x - b.x) >= (a.width + b.width) / 2
                or abs(a.y - b.y) >= (a.height + b.height) / 2
            )
            assert apart, (a, b)


def test_names_are_escaped(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        job(pipeline, "Select", "relion.select", {"Data/<a>&$b_c^.star": types.PARTICLES}, {})
    svg, pdf = make_flowchart(folder, 1)
    assert any(
        text.text == "<a>&$b_c^.star" for text in ElementTree.fromstring(svg.read_text()).iter()
    )
    assert pdf.stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (star("particles", 17), 17),
        ("data_\n\nloop_\n_rlnA #1\n1\n2\n3", 3),
        ("data_\nloop_\n_rlnA\n1\n\ndata_x\n\n_b 3\n", 1),
        ("data_general\n\n_rlnA 1\n", None),
        ("", None),
        ("data_p\n\nloop_ \n# c\n_rlnA #1 \n \n", None),
    ],
)
def test_rows_are_counted_without_reading_values(
    tmp_path: Path, text: str, count: int | None
) -> None:
    (tmp_path / "x.star").write_text(text)
    assert count_rows(tmp_path / "x.star") == count
    assert count_rows(tmp_path / "nowhere.star") is None


def test_matplotlib_is_loaded_only_for_the_pdf() -> None:
    code = "import sys, vitreous.project.flowchart; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
