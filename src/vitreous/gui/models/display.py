"""Pictures: what a file shows, tables of images, micrographs, volumes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vitreous.gui.models.common import Answer, Question

Kind = Literal[
    "micrographs",
    "movies",
    "particles",
    "classes",
    "images",
    "volume",
    "coordinates",
    "pdf",
    "picture",
    "table",
    "text",
    "other",
]


class Column(Answer):
    """A column of a table: numbers, texts, or names of images."""

    label: str
    kind: Literal["number", "text", "image"]


class DisplayInfo(Answer):
    """What a file is and how it can be shown. `version` changes whenever the file does."""

    path: str
    kind: Kind
    version: str
    n: int = Field(description="Images, rows or sections.")
    columns: list[Column]
    image_column: str | None = Field(description="The column that is shown if none is chosen.")
    width_px: int | None
    height_px: int | None
    pixel_size_A: float | None
    job: int | None
    table: str = Field(description="Name of the STAR table that is shown.")
    iteration: int | None
    classes_of: str | None = Field(description="Particles file of the classes, if they are some.")
    n_particles: int | None
    picks_job: int | None = Field(description="The job whose picks a list of coordinates holds.")
    default_sort: str | None
    default_reverse: bool
    n_bytes: int


class TablePart(Answer):
    """Rows of a table, in the order asked for. `rows` are their places in the file, from 0."""

    path: str
    version: str
    n: int
    start: int
    rows: list[int]
    columns: dict[str, list[Any]]


class Histogram(Answer):
    """How a column of numbers is spread."""

    label: str
    edges: list[float]
    counts: list[int]
    n_missing: int


class ImageMeta(Answer):
    """A large image as tiles: level 0 has every pixel, each next one half as many a side."""

    path: str
    row: int
    name: str
    version: str
    width_px: int
    height_px: int
    tile_px: int
    levels: int
    pixel_size_A: float | None
    mean: float
    deviation: float
    minimum: float
    maximum: float
    ctf_image: str | None = None
    values: dict[str, Any] = Field(default_factory=dict)


class Value(Answer):
    """The value of one pixel."""

    x: int
    y: int
    value: float


class Profile(Answer):
    """A curve: the layer lines of a helix, or a radial average."""

    kind: str
    x: list[float]
    y: list[float]
    x_unit: str


class Rows(Question):
    """Some images of a table, by their places in the file."""

    path: str = Field(max_length=4000)
    column: str | None = Field(None, max_length=200)
    rows: list[int] = Field(min_length=1, max_length=1_000_000)
    what: Literal["mean", "deviation"] = "mean"
    size: int = Field(256, ge=8, le=2048)


class VolumeMeta(Answer):
    """A volume. `threshold` is a level at which the molecule is likely to show."""

    path: str
    version: str
    shape: tuple[int, int, int] = Field(description="z, y, x")
    pixel_size_A: float | None
    minimum: float
    maximum: float
    mean: float
    deviation: float
    threshold: float
    is_mask: bool
    boxes: list[int] = Field(description="Sides that /data offers, smallest first.")
    histogram: Histogram
    half_map: str | None
    symmetry: str | None


class ClassMap(Answer):
    """The map of a class; `share` of the particles is from 0 to 1."""

    number: int
    path: str
    share: float | None
    resolution_A: float | None


class SymmetryAxis(Answer):
    """A rotation axis of a point group, through the centre of the box."""

    order: int
    direction: tuple[float, float, float] = Field(description="x, y, z")


class Scene(Answer):
    """What belongs to a map.

    `shown` is the map to draw for the file: that of a mask, or of a local resolution, is the map
    that it was made of.
    """

    path: str
    shown: str
    iteration: int | None
    iterations: list[int]
    final: str | None = Field(description="The map without an iteration that a run ends with.")
    classes: list[ClassMap]
    halves: list[str]
    mask: str | None
    colour_by: list[str] = Field(description="Maps of local resolution, in ångström.")
    symmetry: str | None
    axes: list[SymmetryAxis]


class IterationMap(Answer):
    """The map of an iteration; both are null where there is none."""

    path: str | None
    iteration: int | None


class Selection(Answer):
    """What is chosen in a Select job: for each row 0, or its type from 1 to 6."""

    n: int
    path: str
    kind: Literal["classes", "micrographs", "particles", "movies"]
    n_rows: int
    types: list[int]
    version: str
    is_saved: bool
    can_save: bool
    why_not: str | None
    regroup: int | None
    recentre: bool


class SelectionConflict(Selection):
    """Somebody else changed the choice meanwhile: what is chosen now."""

    error: str


class SelectionChange(Question):
    """A choice to keep (`backup`) or to save, which makes the files of the job.

    Saving takes the rows of type `save_type`; 0 takes every row that has a type.
    """

    action: Literal["backup", "save"]
    types: list[int] = Field(max_length=5_000_000)
    version: str = ""
    save_type: int = Field(0, ge=0, le=6)
    regroup: int | None = Field(None, ge=1, le=999_999)
    recentre: bool = False
    max_per_class: int | None = Field(None, ge=1)


class SelectionSaved(Answer):
    """What was kept."""

    n: int
    version: str
    n_selected: int
    is_saved: bool
    message: str


Cell = int | float | str | None


class PickedMicrograph(Answer):
    """One micrograph of a picking job; `row` is its place in the list."""

    row: int
    name: str
    selected: bool
    count: int
    version: str
    defocus_A: float | None
    ctf_max_resolution_A: float | None
    ctf_image: str | None


class PickList(Answer):
    """The micrographs of a picking job, or of a list; then `n` is 0 and `name` is empty."""

    n: int
    name: Literal["manualpick", "autopick", ""]
    path: str = Field(description="The list of micrographs, for tiles.")
    filaments: bool
    editable: bool
    why_not: str | None
    pixel_size_A: float | None
    diameter_A: float | None
    display: dict[str, Any]
    total: int
    micrographs: list[PickedMicrograph]


class Picks(Answer):
    """The picks of one micrograph as columns, in pixels from its first one."""

    n: int
    row: int
    name: str
    version: str
    count: int
    x: list[float]
    y: list[float]
    fom: list[float | None]
    type: list[int | None]
    columns: dict[str, list[Any]] = Field(
        description="All other columns; null in one of numbers is undefined (-999 in the file)."
    )
    diameter_A: float | None = Field(None, description="As the job says that picked them.")


class PickEdit(Question):
    """One change, applied in order.

    `add` a pick at x, y; `delete` the picks of these places in the list, or those within
    `radius` of x, y; `move` the pick of a place to x, y; `type` sets the selection type of
    places; `insert` puts whole `rows` where `indices` say that they stand afterwards, so that what
    was deleted comes back as it was; `clear` takes all away.
    """

    act: Literal["add", "delete", "move", "type", "insert", "clear"]
    x: float | None = Field(None, ge=-1e6, le=1e6)
    y: float | None = Field(None, ge=-1e6, le=1e6)
    radius: float | None = Field(None, gt=0, le=1e6)
    index: int | None = Field(None, ge=0)
    indices: list[int] | None = Field(None, max_length=1_000_000)
    type: int | None = Field(None, ge=1, le=6)
    rows: list[dict[str, Cell]] | None = Field(None, max_length=1_000_000)


class PickTicks(Question):
    """Which micrographs are used: tick those of `rows`, or all without; None turns ticks over."""

    rows: list[int] | None = Field(None, max_length=1_000_000)
    selected: bool | None


class PickLoad(Question):
    """Take the picks of another list of coordinates, for micrographs that have none yet."""

    path: str = Field(max_length=4000)
    row: int | None = Field(None, ge=0, description="Only this micrograph, whatever it has.")


class PickLoaded(Answer):
    """How many picks were taken, of how many micrographs."""

    n: int
    n_picks: int
    n_micrographs: int


class PickChange(Question):
    """Changes to the picks of one micrograph, based on `version`."""

    version: str
    edits: list[PickEdit] = Field([], max_length=100_000)
    selected: bool | None = None
    force: bool = False


class PickConflict(Answer):
    """Somebody else changed the picks meanwhile."""

    error: str
    theirs: Picks


class PickDenoise(Question):
    """A micrograph that Topaz shall denoise; the picking `job` may name the program."""

    path: str = Field(min_length=1, max_length=4000)
    job: int | None = None


class PickDenoised(Answer):
    """Whether tiles of the denoised micrograph can be asked for."""

    path: str
    is_ready: bool


class PickSave(Question):
    """Write the lists that other jobs read; `close` also marks the job as finished."""

    close: bool = False
    min_fom: float | None = None


class PickSaved(Answer):
    """What was written; `left_out` are micrographs that lack an end of a filament."""

    n: int
    total: int
    n_micrographs: int
    left_out: list[str]
    closed: bool
