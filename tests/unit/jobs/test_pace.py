"""How long learning rests."""

import pytest

from clew.jobs.pace import LATE_AFTER_S, LONGEST_S, RESTS, RESTS_WHEN_ALONE, RESTS_WHEN_LATE, SHORTEST_S, Clocks, Pace


class Machine:
    """Clocks that stand until they are moved."""

    def __init__(self):
        self.now = Clocks(0.0, 0.0, 0.0)

    def __call__(self):
        return self.now

    def pass_s(self, wall_s, own_s=0.0, others_s=0.0):
        wall, process, thread = self.now
        self.now = Clocks(wall + wall_s, process + own_s + others_s, thread + own_s)


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def pace(machine):
    return Pace(machine)


def round_of(pace, machine, *, others_s, more=True):
    """Half a second of rest, then a tenth of learning."""
    machine.pass_s(0.5, others_s=others_s)
    pace.begin()
    machine.pass_s(0.1, own_s=0.1)
    return pace.rest_s(more=more)


def test_while_others_work_learning_takes_a_twentieth(pace, machine):
    """What ingests must not feel it."""
    assert round_of(pace, machine, others_s=0.5) == pytest.approx(0.1 * RESTS)


def test_alone_it_hardly_rests(pace, machine):
    """Nobody else wants the interpreter."""
    assert round_of(pace, machine, others_s=0.01) == pytest.approx(max(SHORTEST_S, 0.1 * RESTS_WHEN_ALONE))


def test_when_it_lags_it_takes_a_fifth(pace, machine):
    """Or under a load that never ends nothing would be learned in time."""
    round_of(pace, machine, others_s=0.5)
    machine.pass_s(LATE_AFTER_S, others_s=LATE_AFTER_S)
    assert round_of(pace, machine, others_s=0.5) == pytest.approx(0.1 * RESTS_WHEN_LATE)


def test_having_caught_up_it_lags_no_longer(pace, machine):
    """The next burst is young again."""
    round_of(pace, machine, others_s=0.5)
    machine.pass_s(LATE_AFTER_S, others_s=LATE_AFTER_S)
    assert round_of(pace, machine, others_s=0.5, more=False) == 0
    assert round_of(pace, machine, others_s=0.5) == pytest.approx(0.1 * RESTS)


def test_no_rest_is_too_long(pace, machine):
    """A trace of a hundred thousand spans must not silence learning for minutes."""
    pace.begin()
    machine.pass_s(60, own_s=30, others_s=60)
    assert pace.rest_s(more=True) == LONGEST_S


def test_the_real_clocks_run():
    """They exist on every system that Clew runs on."""
    pace = Pace()
    pace.begin()
    assert SHORTEST_S <= pace.rest_s(more=True) <= LONGEST_S
