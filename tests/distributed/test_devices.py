"""Which card a rank and its threads compute on, for every way to write it."""

import pytest
import torch

from vitreous.distributed import devices
from vitreous.errors import EnvironmentMissing, InputError


def numbers(*arguments, **values):
    return [device.index for device in devices.of_rank(*arguments, **values)]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", ()),
        (":", ()),
        ("0", ((0,),)),
        ("0,1", ((0, 1),)),
        ("0:1:2", ((0,), (1,), (2,))),
        (" 0,1 : 2,13 ", ((0, 1), (2, 13))),
        ('"0:1"', ((0,), (1,))),
    ],
)
def test_colons_separate_ranks_and_commas_cards(text, fields):
    assert devices.parse(text) == fields


@pytest.mark.parametrize("text", ["a", "0;1", "0::1", "0:1:", "-1", "0 1,", "1,,2"])
def test_what_is_no_list_of_cards_is_refused(text):
    with pytest.raises(InputError, match=r"such as 0,1 or 0:1:2"):
        devices.parse(text)


def test_each_rank_has_its_field_and_later_ranks_start_again():
    assert [numbers("0:1:2", rank, 5, n_cards=3) for rank in range(5)] == [[0], [1], [2], [0], [1]]
    assert [numbers("0,1:2,3", rank, 2, n_cards=4) for rank in range(2)] == [[0, 1], [2, 3]]
    assert [numbers("2", rank, 2, n_cards=4) for rank in range(2)] == [[2], [2]]


def test_a_card_written_twice_is_one_card():
    assert numbers("1,1", 0, 1, n_cards=2) == [1]


@pytest.mark.parametrize(
    ("n_ranks", "n_cards", "expected"),
    [
        (1, 4, [[0, 1, 2, 3]]),
        (2, 4, [[0, 2], [1, 3]]),
        (3, 4, [[0, 3], [1], [2]]),
        (4, 4, [[0], [1], [2], [3]]),
        (3, 2, [[0], [1], [0]]),
    ],
)
def test_empty_shares_all_cards_among_the_ranks(n_ranks, n_cards, expected):
    assert [numbers("", rank, n_ranks, n_cards=n_cards) for rank in range(n_ranks)] == expected


@pytest.mark.parametrize(
    "environ",
    [
        {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
        {"LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
        {"LOCAL_RANK": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x3)"},
    ],
)
def test_empty_counts_the_ranks_of_this_machine(environ):
    assert numbers("", 5, 6, n_cards=4, environ=environ) == [1, 3]


def test_without_cards_the_processor_computes():
    assert devices.of_rank("0:1", 1, 2, use_gpu=False, n_cards=0) == (torch.device("cpu"),)


def test_a_card_that_is_not_there_is_told_with_its_rank():
    with pytest.raises(EnvironmentMissing, match=r"rank 1 of 2 is to use card 4.*has 2"):
        devices.of_rank("0:4", 1, 2, n_cards=2)
    with pytest.raises(EnvironmentMissing, match="use_gpu=No"):
        devices.of_rank("", n_cards=0)


def test_threads_take_the_cards_in_turn():
    two = devices.of_rank("0,1", n_cards=2)
    assert [device.index for device in devices.of_threads(two, 5)] == [0, 1, 0, 1, 0]
    assert len(devices.of_threads(two, 1)) == 2
    assert devices.of_threads((devices.CPU,), 2) == (devices.CPU, devices.CPU)
