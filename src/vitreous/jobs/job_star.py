"""The settings of a job on disk: ``job.star`` in every form, and where last used ones are kept.

Form 5.0 and 4.0 name the type by a label, 3.1 by a number; older projects have ``run.job``
instead (`run_job`). Options that we do not know are kept and written back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from vitreous.errors import FormatError, MissingFileError
from vitreous.io import Table, read_star, write_star
from vitreous.jobs import older, registry, run_job
from vitreous.jobs.declare import Options
from vitreous.jobs.evaluate import from_text, full_label, to_text
from vitreous.jobs.job_type import JobType

JOB_STAR = "job.star"
RUN_JOB = "run.job"
_VERSIONS = {"5.0": 50001, "4.0": 30001, "3.1": 30001}
_HEAD, _VALUES = "job", "joboptions_values"
_KEY, _VALUE = "rlnJobOptionVariable", "rlnJobOptionValue"


@dataclass(frozen=True)
class RawJob:
    """What a settings file says, before asking what it means; any job type, known or not.

    Parameters
    ----------
    label
        Label of the job type as it stands there, or the digits of its number.
    is_continue, is_tomo
        Whether the job is a continued one; whether it belongs to tomography.
    texts
        Text by RELION's key, in the order of the file; by RELION's label in a ``run.job``.
    version
        Version line of the file, if it has one.
    """

    label: str
    is_continue: bool
    is_tomo: bool
    texts: Mapping[str, str]
    version: int | None = None


@dataclass(frozen=True)
class JobFile:
    """The settings of a job.

    Parameters
    ----------
    job_type, options
        Which kind of job, and its options.
    is_continue, is_tomo
        Whether the job is a continued one; whether it belongs to tomography.
    unknown
        Texts by key that are no option of this job type.
    label
        Label as it stood in the file; computed where it is empty.
    version
        Version line of the file it was read from.
    """

    job_type: JobType
    options: Options
    is_continue: bool = False
    is_tomo: bool = False
    unknown: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    label: str = ""
    version: int | None = None


def read_job(path: Path | str) -> JobFile:
    """Read the settings of a job.

    Parameters
    ----------
    path
        A ``job.star`` or ``run.job``, or a folder that has one of them.

    Raises
    ------
    MissingFileError
        If there is none.
    FormatError
        If it is no settings file.
    InputError
        If no such job type is known; `read_raw` reads that too.
    """
    file = _settings_file(Path(path))
    raw = read_raw(file)
    job_type = registry.find(raw.label)
    options, unknown = from_text(job_type, _by_key(job_type, raw, file))
    return JobFile(
        job_type,
        options,
        raw.is_continue,
        raw.is_tomo,
        MappingProxyType(unknown),
        raw.label,
        raw.version,
    )


def read_raw(path: Path | str) -> RawJob:
    """Read a settings file of any job type, known or not."""
    file = _settings_file(Path(path))
    if file.name == RUN_JOB:
        number, is_continue, texts = run_job.read(file)
        return RawJob(str(number), is_continue, False, texts)
    star = read_star(file)
    for name in (_HEAD, _VALUES):
        if name not in star:
            raise FormatError(
                f"{file} has no data_{name}: it is not the settings of a job. "
                "Give a job.star, or the folder of a job"
            )
    head, loop = star[_HEAD], star[_VALUES]
    label = head.value("rlnJobTypeLabel", "") or head.value("rlnJobType", "")
    if label == "":
        raise FormatError(f"{file}, data_{_HEAD}: neither rlnJobTypeLabel nor rlnJobType is there")
    texts = dict(zip(map(str, loop[_KEY]), map(str, loop[_VALUE]), strict=True))
    return RawJob(
        str(label),
        bool(int(head.value("rlnJobIsContinue", 0))),
        bool(int(head.value("rlnJobIsTomo", 0))),
        MappingProxyType(texts),
        star.version,
    )


def write_job(path: Path | str, job_file: JobFile, form: str = "5.0") -> None:
    """Write settings as RELION of that form does.

    Parameters
    ----------
    path
        A file, or a folder, which gets a ``job.star``.
    job_file
        What to write.
    form
        ``5.0``, ``4.0`` or ``3.1``.
    """
    path = Path(path)
    label = job_file.label if job_file.is_tomo else ""
    label = label or full_label(job_file.options, job_file.is_continue)
    texts = {**job_file.unknown, **to_text(job_file.options)}
    if form == "3.1":
        label = str(job_file.job_type.type_number)
        texts = older.to_form_3_1(job_file.job_type.word, texts)
    write_raw(
        path / JOB_STAR if path.is_dir() else path,
        RawJob(label, job_file.is_continue, job_file.is_tomo, texts),
        form,
    )


def write_raw(path: Path | str, raw: RawJob, form: str = "5.0") -> None:
    """Write settings of any job type; `RawJob.label` is a number in form 3.1."""
    texts = dict(
        sorted(raw.texts.items(), key=lambda item: item[0].encode(errors="surrogateescape"))
    )
    head: dict[str, object] = (
        {"rlnJobType": [int(raw.label)]} if form == "3.1" else {"rlnJobTypeLabel": [raw.label]}
    )
    head["rlnJobIsContinue"] = [int(raw.is_continue)]
    if form != "3.1":
        head["rlnJobIsTomo"] = [int(raw.is_tomo)]
    columns = {_KEY: list(texts), _VALUE: list(texts.values())}
    tables = [
        Table.from_columns(_HEAD, head, is_list=True),
        Table.from_columns(_VALUES, columns),
    ]
    write_star(path, tables, version=_VERSIONS[form])


def last_used_path(project: Path, job_type: JobType) -> Path:
    """Return where a project keeps the last used options: ``.gui_class2djob.star``."""
    return project / f"{job_type.hidden_prefix}{JOB_STAR}"


def read_last_used(project: Path, job_type: JobType) -> JobFile | None:
    """Return the options last used for a job type in a project, or None."""
    path = last_used_path(project, job_type)
    return read_job(path) if path.is_file() else None


def write_last_used(project: Path, job_file: JobFile, form: str = "5.0") -> None:
    """Keep options as the defaults of the next job of that type."""
    write_job(last_used_path(project, job_file.job_type), job_file, form)


def _settings_file(path: Path) -> Path:
    if not path.is_dir():
        if not path.exists():
            raise MissingFileError(f"{path} does not exist; give a job.star or the folder of a job")
        return path
    for name in (JOB_STAR, RUN_JOB):
        if (path / name).is_file():
            return path / name
    raise MissingFileError(f"{path} has neither {JOB_STAR} nor {RUN_JOB}: it is not a job folder")


def _by_key(job_type: JobType, raw: RawJob, file: Path) -> Mapping[str, str]:
    texts = run_job.by_key(job_type, raw.texts) if file.name == RUN_JOB else raw.texts
    return older.to_today(job_type.word, texts) if raw.label.isdigit() else texts
