"""Tokens that outlive a start, and when they do not."""

import json
import os
import stat

import pytest

from vitreous.gui.keys import LIFE_S, keep, keys_of

NOW = 1_700_000_000.0


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "gui-1.keys"
    keys = keys_of(path, now=NOW)
    keep(path, keys)
    return path, keys


def test_kept_keys_are_the_same_at_the_next_start(kept):
    path, keys = kept
    assert keys_of(path, now=NOW + LIFE_S - 1) == keys
    assert min(len(keys.token), len(keys.read_only_token)) >= 43
    assert keys.token != keys.read_only_token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("later", "renew"),
    [(LIFE_S, False), (1.0, True), (-1.0, False)],
    ids=["old", "asked", "future"],
)
def test_keys_are_made_anew(kept, later, renew):
    path, keys = kept
    new = keys_of(path, renew=renew, now=NOW + later)
    assert {new.token, new.read_only_token}.isdisjoint({keys.token, keys.read_only_token})


def test_keys_that_somebody_else_could_read_are_not_used(kept):
    path, keys = kept
    path.chmod(0o640)
    assert keys_of(path, now=NOW).token != keys.token


def test_a_link_in_place_of_the_file_is_not_followed(kept, tmp_path):
    path, keys = kept
    other = tmp_path / "other"
    path.rename(other)
    path.symlink_to(other)
    assert keys_of(path, now=NOW).token != keys.token
    keep(path, keys)
    assert not path.is_symlink()


@pytest.mark.parametrize(
    "damage",
    [
        {"token": "short"},
        {"token": None},
        {"made": "yesterday"},
        {"port": -1},
        {"port": "8710"},
        None,
        "",
    ],
)
def test_damaged_keys_are_made_anew(kept, damage):
    path, keys = kept
    told = json.loads(path.read_text())
    text = json.dumps({**told, **damage}) if isinstance(damage, dict) else json.dumps(damage)
    path.write_text(text)
    os.chmod(path, 0o600)
    assert keys_of(path, now=NOW).token != keys.token
