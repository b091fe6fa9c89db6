"""Pipeline files of every form are read, kept and written back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.errors import ProjectError
from vitreous.project import node_types, process_types
from vitreous.project.pipeline import Form, Node, Pipeline, Status
from vitreous.project.pipeline_file import parse_pipeline, read_pipeline
from vitreous.project.pipeline_text import RowCache, format_pipeline

GOLDEN = Path(__file__).parent.parent / "golden/pipelines"  # hand-made, as the README there says
RELION_31 = (GOLDEN / "relion31.star").read_text()
RELION_40 = (GOLDEN / "relion40.star").read_text()


def test_a_3_1_file_is_understood_and_written_back_byte_by_byte() -> None:
    text = RELION_31.replace("  mask.mrc", "  mask.mrc")
    pipeline = parse_pipeline(text.encode(), "x")
    assert (pipeline.form, pipeline.counter, pipeline.problems) == ("3.1", 5, [])
    assert pipeline.find(2).alias == "CtfFind/first_try/"
    assert pipeline.find(2).type_label == "relion.ctffind"
    assert pipeline.find(2).status is Status.RUNNING
    assert pipeline.nodes["Import/job001/micrographs.star"].type_label == node_types.MICROGRAPHS
    assert format_pipeline(pipeline) == text


def test_unknown_numbers_are_shown_and_kept() -> None:
    pipeline = parse_pipeline(RELION_31.encode(), "x")
    assert pipeline.find(4).type_label == "77"
    assert pipeline.nodes["Odd/job004/x.dat"].type_label == "42"


def test_a_4_0_file_has_the_newer_labels_in_memory_and_its_own_on_disk() -> None:
    pipeline = parse_pipeline(RELION_40.encode(), "x")
    assert pipeline.form == "4.0"
    labels = [node.type_label for node in pipeline.nodes.values()]
    assert labels == [f"{node_types.PARTICLES}.class2d", f"{node_types.OPTIMISER}.class2d"]
    assert format_pipeline(pipeline) == RELION_40


@pytest.mark.parametrize(
    "name", ["cets-relion_MPL2/default_pipeline.star", "cets-relion_MPL2/forked_pipeline.star"]
)
def test_files_of_relion_5_round_trip(data: Path, name: str) -> None:
    path = data / "star_corpus" / name
    pipeline = read_pipeline(path)
    assert pipeline.form == "5.0"
    written = format_pipeline(pipeline)
    assert parse_pipeline(written.encode(), "x") == pipeline
    if name.startswith("cets-relion_MPL2/default"):
        assert written == path.read_text()
        assert pipeline.nodes["Reconstruct/job011/half1.mrc"].depth == 99


def test_a_tutorial_file_of_relion_3_1_round_trips(data: Path) -> None:
    path = data / "star_corpus/starfile_BSD3/default_pipeline.star"
    pipeline = read_pipeline(path)
    assert (pipeline.form, len(pipeline.processes)) == ("3.1", 31)
    # Only the column numbers differ: this file counts from 0.
    ours = [line for line in format_pipeline(pipeline).splitlines() if " #" not in line]
    theirs = [line for line in path.read_text().splitlines() if " #" not in line]
    assert ours == theirs


def test_unknown_columns_and_blocks_are_written_back() -> None:
    text = RELION_40.replace(
        "_rlnPipeLineProcessStatusLabel #4 \n", "_rlnPipeLineProcessStatusLabel #4 \n_ourTag #5 \n"
    ).replace("   Aborted \n", "   Aborted  blue \n")
    text += "\n# version 30001\n\ndata_other\n\n_otherThing   seven\n \n"
    pipeline = parse_pipeline(text.encode(), "x")
    again = parse_pipeline(format_pipeline(pipeline).encode(), "x")
    assert again.kept.columns["pipeline_processes"]["ourTag"] == {"Class2D/job002/": "blue"}
    assert [block.name for block in again.kept.blocks] == ["other"]
    assert again.kept.blocks[0].value("otherThing") == "seven"


def test_blocks_may_come_in_any_order_and_empty_ones_are_not_written() -> None:
    blocks = RELION_31.split("# version 30001")[1:]
    shuffled = "# version 30001" + "# version 30001".join(reversed(blocks))
    assert parse_pipeline(shuffled.encode(), "x") == parse_pipeline(RELION_31.encode(), "x")
    assert "loop_" not in format_pipeline(Pipeline())


def test_types_without_a_number_survive_in_the_3_1_form() -> None:
    pipeline = Pipeline(form="3.1")
    job = pipeline.add_process("Own", "lab.sorting", Status.SUCCEEDED)
    pipeline.add_output(job.name, "Own/job001/a.cif", node_types.MODEL)
    pipeline.add_output(job.name, "Own/job001/m.mrc", node_types.MASK)
    again = parse_pipeline(format_pipeline(pipeline).encode(), "x")
    assert again == pipeline


@pytest.mark.parametrize("form", ["4.0", "5.0"])
def test_a_change_of_form_keeps_the_graph(form: Form) -> None:
    pipeline = parse_pipeline(RELION_31.encode(), "x")
    pipeline.form = form
    again = parse_pipeline(format_pipeline(pipeline).encode(), "x")
    assert again == pipeline
    assert again.form == form


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\0" * 4096, "empty"),
        (b"garbage\n", "repair"),
        (b"data_pipeline_processes\n\nloop_\n_rlnPipeLineProcessName #1\nA/job001/\n\n", "Counter"),
        (RELION_31[:900].encode(), "repair"),
        (RELION_40.replace("Aborted", "Abor").encode(), "'Abor' is none of Running"),
        (RELION_31.replace("            2 \nCtf", "            9 \nCtf").encode(), "0 to 4"),
    ],
)
def test_a_corrupted_file_is_recognised_and_the_repair_named(content: bytes, message: str) -> None:
    with pytest.raises(ProjectError, match="vitreous repair") as caught:
        parse_pipeline(content, "p.star")
    assert message in str(caught.value)
    assert "p.star" in str(caught.value)


def test_a_file_cut_off_anywhere_is_recognised_but_for_the_ends_of_its_tables() -> None:
    whole = RELION_31.encode()
    unnoticed = []
    for end in range(len(whole) - 1):
        try:
            parse_pipeline(whole[:end], "x")
        except ProjectError:
            continue
        unnoticed.append(end)
    first_table = whole.index(b"\n \n") + 3
    later = [whole[:end] for end in unnoticed if end >= first_table]
    assert all(part.rstrip(b"\n").endswith(b"\n ") for part in later)
    assert len(later) <= 8


def test_edges_into_nothing_are_left_out_and_told() -> None:
    text = RELION_31.replace("mask.mrc Odd/job004/", "mask.mrc Odd/job009/")
    pipeline = parse_pipeline(text.encode(), "x")
    assert pipeline.inputs("Odd/job004/") == []
    assert "Odd/job009/" in pipeline.problems[0]


def test_a_counter_below_the_last_job_is_raised() -> None:
    text = RELION_31.replace("                       5", "                       3")
    pipeline = parse_pipeline(text.encode(), "x")
    assert pipeline.counter == 5
    assert "job 4 exists" in pipeline.problems[0]


# Laws

_WORDS = st.text("abcdefghij_-0123456789", min_size=1, max_size=14)
_TYPES = st.sampled_from([process_types.from_number(n) for n in (0, 1, 2, 5, 8, 10, 22, 99, 51)])
_NODE_TYPES = st.sampled_from([node_types.from_number(n) for n in range(16) if n != 4])


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    pipeline = Pipeline(form=draw(st.sampled_from(["3.1", "4.0", "5.0"])))
    for _ in range(draw(st.integers(0, 8))):
        label = draw(_TYPES)
        folder = process_types.to_folder(label) or draw(_WORDS)
        word = draw(st.none() | _WORDS)
        alias = f"{folder}/a_{word}/" if word else None
        status = draw(st.sampled_from(list(Status)))
        job = pipeline.add_process(folder, label, status, alias)
        for name in draw(st.lists(_WORDS, max_size=3, unique=True)):
            pipeline.add_output(job.name, job.name + name, draw(_NODE_TYPES))
        for node in (
            draw(st.lists(st.sampled_from(list(pipeline.nodes)), max_size=3))
            if (pipeline.nodes)
            else []
        ):
            pipeline.add_input(job.name, node, node_types.MASK)
        if draw(st.booleans()):
            pipeline.add_input(job.name, "Data files/" + draw(_WORDS), draw(_NODE_TYPES))
    return pipeline


@settings(max_examples=60, deadline=None)
@given(pipelines())
def test_any_pipeline_round_trips_in_its_form(pipeline: Pipeline) -> None:
    text = format_pipeline(pipeline)
    again = parse_pipeline(text.encode(), "x")
    if pipeline.form == "4.0" and not (pipeline.processes or pipeline.nodes):
        assert again.form == "3.1"  # without a table the two look alike
        again.form = "4.0"
    assert again == pipeline
    assert format_pipeline(again) == text
    assert again.problems == []


@settings(max_examples=40, deadline=None)
@given(st.lists(pipelines(), min_size=1, max_size=3), st.data())
def test_a_row_cache_never_changes_the_text(several: list[Pipeline], data: st.DataObject) -> None:
    cache = RowCache()
    for start in several:
        pipeline = start
        for change in data.draw(st.lists(st.integers(0, 4), max_size=6)):
            pipeline = pipeline.copy()
            if change == 0 or not pipeline.processes:
                job = pipeline.add_process("Select", "lab.own", Status.RUNNING)
                pipeline.add_output(job.name, f"{job.name}p.star", "Own.thing")
            elif change == 1:
                pipeline.remove(data.draw(st.sampled_from(list(pipeline.processes))))
            elif change == 2 and pipeline.nodes:
                pipeline.remove_nodes([data.draw(st.sampled_from(list(pipeline.nodes)))])
            elif change == 3 and pipeline.nodes:
                name = data.draw(st.sampled_from(list(pipeline.nodes)))
                pipeline.nodes[name] = Node(name, data.draw(_NODE_TYPES), 2)
            elif change == 4:
                pipeline.form = data.draw(st.sampled_from(["3.1", "4.0", "5.0"]))
            assert format_pipeline(pipeline, cache) == format_pipeline(pipeline)


@given(st.integers(0, 15).filter(lambda n: n != 4))
def test_node_numbers_and_both_spellings_agree(number: int) -> None:
    label = node_types.from_number(number)
    assert node_types.to_number(label) == number
    older = node_types.to_form(label, "4.0")
    assert node_types.to_number(older) == number
    assert node_types.to_form(older, "5.0") == label
    assert node_types.accepts(label, older + ".class2d")


def test_labels_resolve_by_dropping_parts_from_the_right() -> None:
    assert process_types.to_number("relion.select.class2dauto") == 7
    assert process_types.to_number("Class3D") == 9
    assert process_types.to_number("lab.own.thing") == process_types.NO_NUMBER
    assert process_types.base_label("relion.refine3d.tomo.helical") == "relion.refine3d"
    assert process_types.from_folder("Class2D") == "relion.class2d"
    assert process_types.from_folder("Whatever") == "relion.external"


def test_a_map_field_takes_a_half_map_and_no_mask() -> None:
    assert node_types.accepts(node_types.DENSITY_MAP, "DensityMap.mrc.relion.halfmap.refine3d")
    assert not node_types.accepts(node_types.DENSITY_MAP, node_types.MASK)
    assert Node("a", node_types.MASK).depth == 1
