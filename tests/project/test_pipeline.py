"""The graph in memory: finding jobs, numbers, edges, removal."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vitreous.errors import ProjectError
from vitreous.project import node_types as types
from vitreous.project.pipeline import (
    Pipeline,
    Process,
    Status,
    job_folder,
    job_number,
    job_of_path,
)


def chain() -> Pipeline:
    """Import 1 -> MotionCorr 2 -> CtfFind 3, and a second Import 4."""
    pipeline = Pipeline()
    a = pipeline.add_process("Import", "relion.import.movies", Status.SUCCEEDED)
    b = pipeline.add_process(
        "MotionCorr", "relion.motioncorr.own", Status.SUCCEEDED, "MotionCorr/mc/"
    )
    c = pipeline.add_process("CtfFind", "relion.ctffind", Status.RUNNING)
    pipeline.add_process("Import", "relion.import.other", Status.SCHEDULED)
    pipeline.add_output(a.name, "Import/job001/movies.star", types.MOVIES)
    pipeline.add_input(b.name, "Import/job001/movies.star", types.MOVIES)
    pipeline.add_input(b.name, "gain.mrc", types.MICROGRAPHS)
    pipeline.add_output(b.name, "MotionCorr/job002/m.star", types.MICROGRAPHS)
    pipeline.add_input(c.name, "MotionCorr/mc/m.star", types.MICROGRAPHS)
    return pipeline


@pytest.mark.parametrize(
    "ref",
    [
        "MotionCorr/job002/",
        "MotionCorr/job002",
        "./MotionCorr/job002",
        "MotionCorr/job2",
        2,
        "2",
        "002",
        "job002",
        "MotionCorr/mc",
        "MotionCorr/mc/",
        "mc",
    ],
)
def test_a_job_is_found_by_path_alias_and_number(ref: str | int) -> None:
    assert chain().find(ref).name == "MotionCorr/job002/"


def test_an_unknown_job_names_the_nearest() -> None:
    with pytest.raises(ProjectError, match=r"The nearest: .*MotionCorr/job002/"):
        chain().find("MotionCor/job002")
    with pytest.raises(ProjectError, match="no jobs yet"):
        Pipeline().find(1)


def test_a_number_that_two_folders_have_is_not_guessed() -> None:
    pipeline = Pipeline(counter=7)
    pipeline.add_process("Import", "relion.import", Status.SUCCEEDED)
    pipeline.put_process(Process("Select/job007/", None, "relion.select", Status.SUCCEEDED))
    with pytest.raises(ProjectError, match="fits several"):
        pipeline.find(7)


def test_numbers_have_three_digits_and_grow_plain_from_1000() -> None:
    assert job_folder("Class2D", 7) == "Class2D/job007/"
    assert job_folder("Class2D/", 1000) == "Class2D/job1000/"
    assert [job_number(n) for n in ("A/job007/", "A/job1234", "A/job07/", "A/good/")] == [
        7,
        1234,
        -1,
        -1,
    ]
    assert job_of_path("Extract/job006/a/b.star") == "Extract/job006/"
    assert job_of_path("Extract/jobs/b.star") is None


def test_the_counter_skips_numbers_in_use_and_is_never_given_twice() -> None:
    pipeline = chain()
    pipeline.remove("Import/job004/")
    pipeline.number_is_taken = {5, 6}.__contains__
    assert pipeline.add_process("Select", "relion.select", Status.RUNNING).name == "Select/job007/"
    assert pipeline.counter == 8


def test_overwriting_takes_the_number_and_leaves_the_counter() -> None:
    pipeline = chain()
    pipeline.remove("MotionCorr/job002/")
    again = pipeline.add_process("MotionCorr", "relion.motioncorr", Status.RUNNING, number=2)
    assert (again.number, pipeline.counter) == (2, 5)
    # The child kept its input; who makes it now is its producer again.
    assert pipeline.producer("MotionCorr/job002/m.star") is None
    pipeline.add_output(again.name, "MotionCorr/job002/m.star", types.MICROGRAPHS)
    assert pipeline.children(again.name) == ["CtfFind/job003/"]


def test_a_path_through_an_alias_is_stored_in_job_form() -> None:
    pipeline = chain()
    assert [n.name for n in pipeline.inputs("CtfFind/job003/")] == ["MotionCorr/job002/m.star"]
    assert pipeline.resolve("./MotionCorr//mc/a.star") == "MotionCorr/job002/a.star"
    assert pipeline.resolve("MotionCorr/mcX/a.star") == "MotionCorr/mcX/a.star"
    assert pipeline.resolve("Data/None/a.star") == "Data/None/a.star"


def test_a_new_input_in_a_job_folder_becomes_an_output_of_that_job() -> None:
    pipeline = chain()
    pipeline.add_input("CtfFind/job003/", "Import/job001/extra.star", types.MOVIES)
    assert pipeline.producer("Import/job001/extra.star") == "Import/job001/"
    pipeline.add_input("CtfFind/job003/", "Import/job099/none.star", types.MOVIES)
    assert pipeline.producer("Import/job099/none.star") is None


def test_a_node_has_one_producer() -> None:
    pipeline = chain()
    pipeline.add_output("Import/job004/", "Import/job001/movies.star", types.MOVIES)
    assert pipeline.producer("Import/job001/movies.star") == "Import/job001/"
    assert pipeline.outputs("Import/job004/") == []


def test_descendants_are_all_that_depend_on_a_job() -> None:
    pipeline = chain()
    assert pipeline.descendants(["Import/job001/"]) == [
        "Import/job001/",
        "MotionCorr/job002/",
        "CtfFind/job003/",
    ]
    assert pipeline.parents("CtfFind/job003/") == ["MotionCorr/job002/"]


def test_removal_takes_nodes_that_nobody_needs_and_leaves_the_others() -> None:
    pipeline = chain()
    pipeline.remove("MotionCorr/job002/")
    assert list(pipeline.nodes) == ["Import/job001/movies.star", "MotionCorr/job002/m.star"]


def test_a_part_holds_a_job_with_all_its_nodes() -> None:
    part = chain().part(["MotionCorr/job002/"])
    assert list(part.processes) == ["MotionCorr/job002/"]
    assert [n.name for n in part.inputs("MotionCorr/job002/")] == [
        "Import/job001/movies.star",
        "gain.mrc",
    ]


def test_a_copy_is_independent() -> None:
    pipeline = chain()
    copy = pipeline.copy()
    assert copy == pipeline
    copy.remove("Import/job004/")
    copy.add_input("CtfFind/job003/", "new.mrc", types.MASK)
    assert copy != pipeline
    assert "Import/job004/" in pipeline.processes
    assert "new.mrc" not in pipeline.nodes


class AnyChanges(RuleBasedStateMachine):
    """Whatever is done to a graph, it stays one."""

    def __init__(self) -> None:
        super().__init__()
        self.pipeline = Pipeline()
        self.given: list[int] = []

    @rule(folder=st.sampled_from(["Import", "Select", "Class2D"]), outputs=st.integers(0, 3))
    def add(self, folder: str, outputs: int) -> None:
        job = self.pipeline.add_process(folder, "relion.select", Status.RUNNING)
        self.given.append(job.number)
        for number in range(outputs):
            self.pipeline.add_output(job.name, f"{job.name}{number}.star", types.PARTICLES)

    @precondition(lambda self: self.pipeline.processes)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.pipeline.processes)))
        node = data.draw(st.sampled_from([*self.pipeline.nodes, "outside.mrc"]))
        self.pipeline.add_input(job, node, types.MASK)

    @precondition(lambda self: self.pipeline.processes)
    @rule(data=st.data(), with_users=st.booleans())
    def remove(self, data: st.DataObject, with_users: bool) -> None:
        job = data.draw(st.sampled_from(list(self.pipeline.processes)))
        self.pipeline.remove(self.pipeline.descendants([job]) if with_users else job)

    @precondition(lambda self: self.pipeline.nodes)
    @rule(data=st.data())
    def remove_node(self, data: st.DataObject) -> None:
        self.pipeline.remove_nodes([data.draw(st.sampled_from(list(self.pipeline.nodes)))])

    @rule()
    def copy(self) -> None:
        self.pipeline = self.pipeline.copy()

    @invariant()
    def holds_together(self) -> None:
        check_graph(self.pipeline)
        assert len(set(self.given)) == len(self.given)


def check_graph(pipeline: Pipeline) -> None:
    """Every edge's ends exist, a node has one producer, numbers are unique, indexes agree."""
    for node, job in pipeline.input_edges:
        assert node in pipeline.nodes
        assert job in pipeline.processes
        assert job in pipeline.consumers(node)
        assert pipeline.nodes[node] in pipeline.inputs(job)
    producers: dict[str, str] = {}
    for job, node in pipeline.output_edges:
        assert node in pipeline.nodes
        assert job in pipeline.processes
        assert producers.setdefault(node, job) == job
        assert pipeline.producer(node) == job
    numbers = [process.number for process in pipeline]
    assert len(set(numbers)) == len(numbers)
    assert all(number < pipeline.counter for number in numbers)


TestAnyChanges = AnyChanges.TestCase
TestAnyChanges.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
