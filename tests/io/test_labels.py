"""The label table that is shipped is the one of the specification."""

from __future__ import annotations

from pathlib import Path

import yaml

from vitreous.io.labels import ALIASES, Kind, all_labels, describe, kind_of

GOLDEN = Path(__file__).parent.parent / "golden" / "labels.yaml"
KINDS = {
    "double": Kind.FLOAT,
    "int": Kind.INT,
    "bool": Kind.BOOL,
    "string": Kind.TEXT,
    "unknown": Kind.TEXT,
    "double_vector": Kind.FLOAT_VECTOR,
    "int_vector": Kind.INT_VECTOR,
}


def specified():
    groups = yaml.safe_load(GOLDEN.read_text())
    return {
        name: (group, KINDS[entry["t"]], entry.get("u", ""), entry["m"], str(entry.get("v", "")))
        for group, entries in groups.items()
        for name, entry in entries.items()
    }


def test_every_label_is_as_specified_and_no_other_is_shipped():
    shipped = {
        label.name: (label.group, label.kind, label.unit, label.meaning, label.versions)
        for label in all_labels().values()
    }
    assert shipped == specified()
    assert list(shipped) == list(specified())


def test_an_unknown_label_is_text():
    assert describe("rlnNobodyKnows").kind is Kind.TEXT
    assert describe("rlnNobodyKnows").meaning == ""


def test_old_spellings_lead_to_known_labels():
    assert all(new in all_labels() and old not in all_labels() for old, new in ALIASES.items())
    assert kind_of(ALIASES["rlnKullbackLeibnerDivergence"]) is Kind.FLOAT
