"""Batches survive on disk: the process that wrote them, damage to the file, and each other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.sdk.spool import Spool, SpoolBroken
from clew.sdk.spool_segment import HEAD, MARK, SUFFIX

PAYLOADS = [b"first " * 3, b"second" + MARK + b"holds a mark", b"", b"last"]


def spool_at(folder: Path, **options) -> Spool:
    return Spool(folder, **{"limit_bytes": 1 << 20, **options})


def filled(folder: Path, payloads=PAYLOADS) -> Path:
    """A folder with one segment of *payloads*; gives the segment."""
    spool = spool_at(folder)
    for number, payload in enumerate(payloads):
        assert spool.append(payload, number)
    spool.close()
    (segment,) = folder.glob(f"*{SUFFIX}")
    return segment


def replayed(folder: Path) -> tuple[list[bytes], int]:
    spool = spool_at(folder)
    delivered: list[bytes] = []
    spool.replay(lambda payload, _: delivered.append(payload))
    return delivered, spool.damaged_count


def test_what_was_kept_is_delivered_once_in_order_and_then_gone(tmp_path):
    filled(tmp_path)

    assert replayed(tmp_path) == (PAYLOADS, 0)
    assert replayed(tmp_path) == ([], 0)
    assert not list(tmp_path.iterdir())


def test_the_span_count_of_each_batch_comes_back(tmp_path):
    """So that what is lost later can be counted in spans."""
    spool = spool_at(tmp_path)
    spool.append(b"x", 17)
    counts = []
    spool.replay(lambda _, count: counts.append(count))

    assert counts == [17]


def test_a_flipped_byte_costs_the_record_that_it_is_in_and_no_other(tmp_path):
    """At every byte of the segment."""
    whole = filled(tmp_path / "once").read_bytes()
    for at in range(len(whole)):
        folder = tmp_path / str(at)
        folder.mkdir()
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (folder / f"1{SUFFIX}").write_bytes(damaged)

        delivered, lost = replayed(folder)

        hit = _record_of(at)
        assert (delivered, lost) == ([payload for n, payload in enumerate(PAYLOADS) if n != hit], 1)


def test_a_segment_cut_anywhere_gives_all_that_is_whole(tmp_path):
    """As a crash in the middle of a write leaves it."""
    whole = filled(tmp_path / "once").read_bytes()
    ends = [sum(HEAD.size + len(payload) for payload in PAYLOADS[:n]) for n in range(len(PAYLOADS) + 1)]
    for length in range(len(whole)):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / f"1{SUFFIX}").write_bytes(whole[:length])

        delivered, lost = replayed(folder)

        count = sum(end <= length for end in ends[1:])
        assert (delivered, lost) == (PAYLOADS[:count], int(length not in ends))


@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_the_replay(tmp_path_factory, rubbish):
    folder = tmp_path_factory.mktemp("spool")
    (folder / f"1{SUFFIX}").write_bytes(rubbish)

    assert replayed(folder)[0] == []


def test_a_failed_delivery_keeps_the_segment_for_another_time(tmp_path):
    """The server went away again in the middle."""
    filled(tmp_path)

    def goes_away(payload, _):
        if payload == PAYLOADS[2]:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        spool_at(tmp_path).replay(goes_away)

    assert replayed(tmp_path) == (PAYLOADS, 0)


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path):
    spool = spool_at(tmp_path, limit_bytes=3 * (HEAD.size + 10))

    assert [spool.append(b"x" * 10, 1) for _ in range(5)] == [True, True, True, False, False]
    assert replayed(tmp_path)[0] == []  # Still held by the one that wrote it.
    spool.close()
    assert replayed(tmp_path)[0] == [b"x" * 10] * 3


def test_the_limit_is_for_all_processes_together(tmp_path):
    filled(tmp_path, [b"x" * 100])

    assert not spool_at(tmp_path, limit_bytes=150).append(b"y" * 100, 1)


def test_segments_stay_small_so_that_space_comes_back_piece_by_piece(tmp_path):
    spool = spool_at(tmp_path, segment_bytes=64)
    for _ in range(4):
        spool.append(b"x" * 50, 1)

    assert len(list(tmp_path.iterdir())) == 4
    assert spool.replay(lambda *_: None) == 4


def test_what_a_living_process_writes_is_left_to_it(tmp_path):
    """Two workers share a folder; neither delivers what the other is still writing."""
    writing, other = spool_at(tmp_path), spool_at(tmp_path)
    writing.append(b"mine", 1)
    delivered = []

    assert other.replay(lambda payload, _: delivered.append(payload)) == 0
    assert writing.replay(lambda payload, _: delivered.append(payload)) == 1
    assert delivered == [b"mine"]


def test_what_a_killed_process_left_is_delivered_by_the_next(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from clew.sdk.spool import Spool\n"
        "spool = Spool(sys.argv[1], limit_bytes=1 << 20)\n"
        "spool.append(b'left behind', 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    assert done.returncode == -9
    assert replayed(tmp_path) == ([b"left behind"], 0)


def test_a_forked_child_leaves_the_segment_to_its_parent(tmp_path):
    spool = spool_at(tmp_path)
    spool.append(b"parent's", 1)
    pid = os.fork()
    if pid == 0:
        spool.after_fork()
        spool.append(b"child's", 1)
        os._exit(0)
    os.waitpid(pid, 0)

    assert spool.append(b"parent's too", 1)
    assert sorted(_all_of(spool)) == [b"child's", b"parent's", b"parent's too"]


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_kept(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")

    with pytest.raises(SpoolBroken, match="file"):
        spool_at(blocked).append(b"x", 1)


def test_nobody_else_may_read_what_users_said(tmp_path):
    segment = filled(tmp_path / "made")

    assert segment.stat().st_mode & 0o077 == 0
    assert segment.parent.stat().st_mode & 0o077 == 0


def _all_of(spool: Spool) -> list[bytes]:
    delivered: list[bytes] = []
    spool.replay(lambda payload, _: delivered.append(payload))
    return delivered


def _record_of(at: int) -> int:
    end = 0
    for number, payload in enumerate(PAYLOADS):
        end += HEAD.size + len(payload)
        if at < end:
            return number
    raise AssertionError(at)
