"""What every job type must keep to, as a class of tests that a declaration is run through.

```python
class TestMyJob(JobContract):
    @pytest.fixture
    def job_type(self) -> JobType:
        return MyJob.job_type
```
"""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from pathlib import Path

from vitreous.jobs import describe, evaluate, job_star
from vitreous.jobs import when as rules
from vitreous.jobs.declare import Options, Start
from vitreous.jobs.job_star import JobFile
from vitreous.jobs.job_type import JobType, build
from vitreous.jobs.spec import OptionSpec, Value
from vitreous.project import node_types
from vitreous.project.clean_rules import Cleanup, Files, Iterations, Subfolders

N_SETS = 20
TEXTS = (
    "",
    "None",
    "C1",
    "a b",
    'say "so"',
    "it's",
    "#1",
    "_x",
    "Movies/*.tiff",
    "ångström",
    "$$x",
)
FORMS = ("5.0", "4.0", "3.1")
# First parts of all node types that a job may write.
KINDS = {
    value.partition(".")[0]
    for name, value in vars(node_types).items()
    if name.isupper() and isinstance(value, str)
}


def some_value(spec: OptionSpec, rng: random.Random) -> Value:
    """Return a value of an option, at its limits more often than between."""
    if spec.value_type is bool:
        return rng.random() < 0.5
    if spec.choices:
        return rng.choice(spec.choices)
    if spec.value_type is str:
        return rng.choice(TEXTS)
    if spec.optional and rng.random() < 0.3:
        return None
    limits = (spec.default, spec.low, spec.high, spec.off, spec.at_least)
    numbers = [float(n) for n in limits if isinstance(n, int | float)] + [rng.uniform(-5, 5)]
    number = rng.choice(numbers)
    return int(number) if spec.value_type is int else number


def some_options(job_type: JobType, seed: int) -> Options:
    """Return options with values drawn at random; the same seed gives the same ones."""
    rng = random.Random(seed)
    return build(job_type, {n: some_value(s, rng) for n, s in job_type.options.items()}, {})


def defaults(job_type: JobType) -> Options:
    """Return the options of an empty settings file."""
    return evaluate.from_text(job_type, {})[0]


class JobContract:
    """Tests of one declaration; the class that inherits gives a fixture ``job_type``."""

    def test_it_says_what_it_is(self, job_type: JobType) -> None:
        """The docstring opens with a sentence, and word, label and program belong together."""
        assert job_type.title.endswith(".")
        assert job_type.label.endswith(job_type.word)
        assert job_type.cls.__module__.rpartition(".")[2].rstrip("_") == job_type.word
        assert job_type.run.endswith(":run")
        assert job_type.hidden_prefix.startswith(".gui_")

    def test_every_option_can_stand_in_a_form(self, job_type: JobType) -> None:
        """Each has a label, a tab, full sentences, sensible limits and a rule that is known."""
        for spec in job_type.options.values():
            assert spec.label.strip() == spec.label
            assert spec.label[-1] not in ":?"
            assert spec.tab
            assert spec.help.endswith(".")
            assert len(spec.help) >= 15
            if spec.low is not None and spec.high is not None:
                assert spec.low < spec.high
            for name in rules.names(spec.when) if spec.when else ():
                assert job_type.options[name].value_type is bool
            if spec.choices:
                assert spec.default in spec.choices

    def test_the_manual_page_has_every_option(self, job_type: JobType) -> None:
        """The table in words has one row for each option, and no cell is empty."""
        rows = describe.table(job_type)
        assert [row.key for row in rows] == list(job_type.by_key)
        assert all(row.default and row.range and row.meaning for row in rows)

    def test_defaults_are_the_same_from_nothing_and_for_a_new_job(self, job_type: JobType) -> None:
        """A settings file without options and a new job without values mean the same."""
        assert defaults(job_type) == job_type.new({}, {})

    def test_values_survive_as_text(self, job_type: JobType) -> None:
        """Text and back gives the same values, and the same text again."""
        for seed in range(N_SETS):
            options = some_options(job_type, seed)
            texts = evaluate.to_text(options)
            again, unknown = evaluate.from_text(job_type, texts)
            assert not unknown
            assert evaluate.to_text(again) == texts
            assert evaluate.values(again) == evaluate.values(options)

    def test_settings_survive_on_disk(self, job_type: JobType, tmp_path: Path) -> None:
        """Each form of job.star gives back the options, and keys that nobody knows."""
        options = some_options(job_type, 1)
        for form in FORMS:
            written = JobFile(job_type, options, is_continue=True, unknown={"zz_new": "a b"})
            job_star.write_job(tmp_path, written, form)
            read = job_star.read_job(tmp_path)
            assert read.job_type is job_type
            assert evaluate.values(read.options) == evaluate.values(options)
            assert (read.is_continue, dict(read.unknown)) == (True, {"zz_new": "a b"})
            first = (tmp_path / job_star.JOB_STAR).read_bytes()
            job_star.write_job(tmp_path, read, form)
            assert (tmp_path / job_star.JOB_STAR).read_bytes() == first

    def test_instances_cannot_be_changed(self, job_type: JobType) -> None:
        """Options are frozen and can be compared."""
        options = defaults(job_type)
        name = next(iter(job_type.options))
        try:
            setattr(options, name, None)
        except AttributeError:
            return
        raise AssertionError(f"{job_type.word}.{name} could be set")

    def test_what_is_needed_is_asked_for(self, job_type: JobType) -> None:
        """A job of defaults is refused if, and only if told of, something is missing."""
        told = {problem.option for problem in evaluate.check(defaults(job_type))}
        for spec in job_type.options.values():
            if spec.required and rules.holds(spec.when, defaults(job_type).value):
                assert spec.name in told

    def test_problems_name_options_and_say_what_to_do(self, job_type: JobType) -> None:
        """Whatever the values, a problem belongs to an option or to none, and is a sentence."""
        for seed in range(N_SETS):
            for is_continue in (False, True):
                options = some_options(job_type, seed)
                for problem in evaluate.check(options, is_continue=is_continue):
                    assert problem.option in (*job_type.options, "")
                    assert len(problem.message) > 10

    def test_outputs_are_files_of_the_job_of_known_kinds(self, job_type: JobType) -> None:
        """No output leaves the job folder, and its type begins with a known part."""
        out = f"{job_type.folder}/job007/"
        for options in self._many(job_type):
            for is_continue in (False, True):
                for output in evaluate.output_nodes(options, out, is_continue):
                    assert output.path.startswith(out)
                    assert output.node_type.partition(".")[0] in KINDS

    def test_inputs_are_options_that_name_files(self, job_type: JobType) -> None:
        """Each input node comes from an option and has a type."""
        for options in self._many(job_type):
            for is_continue in (False, True):
                for item in options.inputs(Start(is_continue=is_continue)):
                    spec = job_type.options[item.option]
                    assert spec.is_file
                    assert item.node_type or spec.reads

    def test_cleaning_removes_no_output(self, job_type: JobType) -> None:
        """No rule of gentle or harsh cleaning matches a file that is an output node."""
        for options in self._many(job_type):
            cleanup = options.cleanup()
            outputs = [output.path for output in options.outputs(Start())]
            assert not [path for path in outputs if _is_removed(cleanup, path)]

    def test_harsh_cleaning_removes_what_gentle_does(self, job_type: JobType) -> None:
        """What gentle cleaning removes, harsh cleaning covers."""
        cleanup = defaults(job_type).cleanup()
        harsh = cleanup.rules(harsh=True)
        for rule in cleanup.rules(harsh=False):
            below = isinstance(rule, Files) and rule.below and Subfolders() in harsh
            series = isinstance(rule, Iterations) and any(isinstance(r, Iterations) for r in harsh)
            assert rule in harsh or below or series

    def test_results_have_names_of_their_own(self, job_type: JobType) -> None:
        """Headline numbers and plots can be told apart and read."""
        for options in self._many(job_type):
            results = evaluate.results(options)
            names = [(result.kind, result.name) for result in results]
            assert len(set(names)) == len(names)
            assert all(result.label for result in results)

    def test_the_label_begins_with_that_of_the_type(self, job_type: JobType) -> None:
        """Sub-labels are added, never put in front."""
        for options in self._many(job_type):
            label = evaluate.full_label(options)
            assert label == job_type.label or label.startswith(f"{job_type.label}.")

    @staticmethod
    def _many(job_type: JobType) -> list[Options]:
        drawn = [some_options(job_type, seed) for seed in range(N_SETS)]
        return [defaults(job_type), *drawn]


def _is_removed(cleanup: Cleanup, path: str) -> bool:
    return any(
        _matches(rule, path) for harsh in (False, True) for rule in cleanup.rules(harsh=harsh)
    )


def _matches(rule: object, path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if isinstance(rule, Subfolders):
        return bool(folder)
    if isinstance(rule, Files):
        return (
            bool(folder) and fnmatchcase(name, rule.pattern)
            if rule.below
            else fnmatchcase(path, rule.pattern)
        )
    return isinstance(rule, Iterations) and any(fnmatchcase(path, also) for also in rule.also)
