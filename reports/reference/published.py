"""Published results to set beside one's own: what a reference file holds, and how it is read.

`deit` and `cait` are part of the package (deit.json and cait.json beside this file). A user's own
file is JSON of the same shape, or CSV with one line per published model
(`reports.reference.csv_file`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deit_core.config_checks import nearest
from deit_core.errors import RunDirError
from deit_core.run_dir import read_json
from reports.errors import ReportError
from reports.reference.csv_file import read_csv
from reports.reference.fields import CONFIG_FIELDS

_FOLDER = Path(__file__).parent
REFERENCE_SCHEMA_VERSION = 1

Kind = Literal["none", "soft", "hard"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PublishedData(_Strict):
    """The data set that published accuracies were measured on."""

    source: str
    """Name as of `data.source` of a run config."""
    train_images: int | None = None
    val_images: int | None = None
    num_classes: int | None = None


class PublishedSpeed(_Strict):
    """What the published images/s were measured on."""

    device: str
    conditions: str = ""


class PublishedRecipe(_Strict):
    """How published models were trained, as far as it is published."""

    finetuned: bool | None = None
    """Whether training started from trained weights; null: not said."""
    settings: dict[str, Any] = {}
    """Values by config field, such as `optim.weight_decay`; fields that are absent are not said."""
    source: str = ""


class PublishedModel(_Strict):
    """One row of a published table."""

    name: str
    model: str
    """timm name; a resolution at its end is overruled by `img_size`."""
    img_size: int = Field(gt=0)
    kind: Kind
    """Distillation it was trained with."""
    token: bool | None = None
    """Whether it was distilled through a distillation token; null: not said, or no distillation."""
    data: PublishedData | None = None
    """Where it is not the reference's own."""
    parameters: int | None = None
    gmacs: float | None = None
    """10^9 multiply-accumulates of one forward pass at `img_size`; FLOPs are twice as many."""
    top1: float = Field(ge=0, le=100)
    """Percent, as the next two."""
    real_top1: float | None = Field(default=None, ge=0, le=100)
    v2_top1: float | None = Field(default=None, ge=0, le=100)
    images_per_s: float | None = Field(default=None, gt=0)
    """Inference, on the device of `throughput`."""
    recipe: str | None = None
    """Name of one of the reference's recipes."""
    settings: dict[str, Any] = {}
    """What differs from the recipe, or adds to it."""
    note: str = ""
    source: str = ""


class Reference(_Strict):
    """Published results of one paper, or of one file."""

    schema_version: int = REFERENCE_SCHEMA_VERSION
    name: str
    title: str
    source: str
    note: str = ""
    data: PublishedData
    throughput: PublishedSpeed | None = None
    recipes: dict[str, PublishedRecipe] = {}
    rows: tuple[PublishedModel, ...]

    def recipe_of(self, row: PublishedModel) -> PublishedRecipe:
        """The recipe of a row with what the row changes."""
        base = self.recipes.get(row.recipe or "", PublishedRecipe())
        return base.model_copy(update={"settings": {**base.settings, **row.settings}})

    def data_of(self, row: PublishedModel) -> PublishedData:
        """What a row was measured on."""
        return row.data or self.data


def load_reference(wanted: str) -> dict[str, Any]:
    """The content of a reference as plain data, to be kept with the results.

    Args:
        wanted: `deit`, `cait`, or the path of a JSON or CSV file.

    Raises:
        ReportError: there is no such file, or it does not hold published results.
    """
    own = _FOLDER / f"{wanted}.json"
    if wanted in _names():
        return parse_reference(read_json(own), str(own)).model_dump(mode="json")
    path = Path(wanted)
    if not path.is_file():
        raise ReportError(
            f"--reference {wanted!r} is neither {' nor '.join(_names())} nor a file that is there"
        )
    try:
        values = read_csv(path) if path.suffix.lower() == ".csv" else read_json(path)
    except RunDirError as error:
        raise ReportError(f"--reference: {error}") from None
    return parse_reference(values, str(path)).model_dump(mode="json")


def _names() -> list[str]:
    return sorted((path.stem for path in _FOLDER.glob("*.json")), reverse=True)


def parse_reference(values: Any, where: str) -> Reference:
    """Validate decoded JSON read from `where`.

    Raises:
        ReportError: it is no reference, is from a newer version, or names an unknown setting.
    """
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > REFERENCE_SCHEMA_VERSION:
        raise ReportError(
            f"{where} has schema version {version}, this program reads up to "
            f"{REFERENCE_SCHEMA_VERSION}; update it, or use an older file"
        )
    try:
        reference = Reference.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReportError(f"{where} holds no published results: {key}: {first['msg']}") from None
    _check(reference, where)
    return reference


def _check(reference: Reference, where: str) -> None:
    """Raises ReportError for settings and recipes that do not exist."""
    for row in reference.rows:
        if row.recipe is not None and row.recipe not in reference.recipes:
            hint = nearest(row.recipe, reference.recipes)
            raise ReportError(f"{where}: {row.name}: there is no recipe {row.recipe!r}{hint}")
        for field in reference.recipe_of(row).settings:
            if field not in CONFIG_FIELDS:
                hint = nearest(field, CONFIG_FIELDS) if "." in field else ""
                raise ReportError(f"{where}: {row.name}: {field} is no field of a config{hint}")
