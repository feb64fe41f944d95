"""What the disk, the system and other processes do to a file."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from clew.errors import StoreBusy, StoreUnavailable
from clew.model import Batch
from clew.store import open_store
from clew.store.protocol import TraceFilter
from clew.store.sqlite import connect
from clew.testing.store_contract import a_span, a_trace_id, ids, put


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clew.db"


@pytest.fixture
def store(path):
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


def noise(size_bytes, seed=0):
    """Text that does not compress."""
    return random.Random(seed).randbytes(size_bytes // 2).hex()


def test_a_full_disk_is_no_lie_and_is_survived(store):
    """503, nothing half-written, and the next write after space came back succeeds."""
    put(store, a_span(0))
    pages = store._connection.pragma("page_count")
    store._connection.pragma("max_page_count", pages + 5)
    with pytest.raises(StoreUnavailable, match="no space"):
        put(store, a_span(1), a_span(2, inputs=noise(1_000_000)))
    assert ids(store) == [a_trace_id(0)]
    put(store, a_span(1), a_span(2, inputs=noise(1_000_000)))
    assert len(ids(store)) == 3


SMALL_DISK = """
import shutil, subprocess, sys
from pathlib import Path
from clew.errors import StoreUnavailable
from clew.store import open_store
from clew.testing.store_contract import a_span, ids, put

folder, noise = Path(sys.argv[1]), sys.stdin.read()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
store = open_store(f"sqlite:///{folder}/clew.db")
put(store, a_span(0))
hog = folder / "hog"
hog.write_bytes(b"x" * (shutil.disk_usage(folder).free - 50_000))
try:
    put(store, a_span(1, inputs=noise))
    sys.exit("a full disk was acknowledged")
except StoreUnavailable as refused:
    print(refused)
assert len(ids(store)) == 1
hog.unlink()
put(store, a_span(1, inputs=noise))
assert len(ids(store)) == 2
store.close()
"""


def may_mount():
    """Whether this process may mount file systems that only its children see."""
    unshare = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and not subprocess.run(unshare, capture_output=True, check=False).returncode


@pytest.mark.skipif(not may_mount(), reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full_is_survived(tmp_path):
    """The same with a file system of two megabytes, whose space is taken and given back by another."""
    # In a mount namespace of its own, so that no mount outlives the test.
    command = ["unshare", "--mount", sys.executable, "-c", SMALL_DISK, str(tmp_path)]
    done = subprocess.run(command, input=noise(400_000), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout


def test_another_writer_makes_it_busy_not_broken(path, monkeypatch):
    """A second process holds the write lock for longer than one waits."""
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_MS", 20)
    store = open_store(f"sqlite:///{path}")
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="another process"):
        put(store, a_span())
    other.execute("ROLLBACK")
    other.close()
    assert put(store, a_span()) == (1, 0)
    store.close()


def test_two_stores_may_write_one_file(path):
    """An application writes straight into the store that a server shows."""
    one, two = (open_store(f"sqlite:///{path}") for _ in range(2))
    for number in range(6):
        put((one, two)[number % 2], a_span(number), a_span(0, number + 10, parent_id=None))
    assert ids(one) == ids(two)
    assert len(ids(one)) == 6
    assert one.stats()["spans"] == 12
    one.close()
    two.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused(path, content):
    """In words, and left as it is."""
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"clew\.db"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_damaged_store_says_so(path):
    """Never a wrong answer as if nothing were the matter."""
    store = open_store(f"sqlite:///{path}")
    put(store, *(a_span(number, inputs=noise(5_000, number)) for number in range(100)))
    store.close()
    content = bytearray(path.read_bytes())
    content[100:] = random.Random(1).randbytes(len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="damaged"):
        ids(open_store(f"sqlite:///{path}", read_only=True))
    with pytest.raises(StoreUnavailable, match="damaged"):
        put(open_store(f"sqlite:///{path}"), a_span(1000))


def test_a_damaged_chunk_says_so(store, path):
    """The rest of the store still reads."""
    put(store, a_span(0), a_span(1))
    other = apsw.Connection(str(path))
    other.execute("UPDATE trace_payloads SET spans = x'00112233' WHERE chunk_id = 256")
    other.close()
    assert store.trace("default", a_trace_id(1)) is not None
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.trace("default", a_trace_id(0))


def test_a_missing_directory_is_named(tmp_path):
    """It is not made: a typing mistake would hide the traces."""
    with pytest.raises(StoreUnavailable, match=r"no directory .*absent"):
        open_store(f"sqlite:///{tmp_path}/absent/clew.db")


def test_a_directory_is_no_store(tmp_path):
    """Name a file in it."""
    with pytest.raises(StoreUnavailable, match="is a directory"):
        open_store(f"sqlite:///{tmp_path}")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="/proc refuses files also from root")
def test_a_place_where_nothing_can_be_written_is_refused():
    """At once, not at the first span."""
    with pytest.raises(StoreUnavailable, match="who may write"):
        open_store("sqlite:////proc/clew.db")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_file_is_refused(path):
    """At once, and in words."""
    open_store(f"sqlite:///{path}").close()
    path.chmod(0o400)
    with pytest.raises(StoreUnavailable, match="who may write"):
        open_store(f"sqlite:///{path}")


def test_a_file_that_is_taken_away_is_made_anew(store, path):
    """Writing on into a file that nobody can find again would acknowledge what is lost."""
    put(store, a_span(0))
    assert len(ids(store)) == 1
    for file in path.parent.iterdir():
        file.unlink()
    put(store, a_span(1))
    assert ids(store) == [a_trace_id(1)]
    store.close()
    again = open_store(f"sqlite:///{path}")
    assert ids(again) == [a_trace_id(1)]
    again.close()


def test_a_poison_batch_costs_only_itself(store):
    """The batcher writes the others again without it."""
    with pytest.raises(TypeError):
        store.write([Batch(spans=[a_span(0)]), Batch(spans=[a_span(1, attributes={"x": object()})])])
    assert ids(store) == []
    assert store.write([Batch(spans=[a_span(0)])]) == (1, 0)


def test_threads_read_while_one_writes(store):
    """Each reader sees whole commits only: a trace never without its spans."""
    done = threading.Event()
    torn = []

    def read():
        while not done.is_set():
            for summary in store.list_traces("default", where, limit=5).traces:
                whole = store.trace("default", summary.trace_id)
                if whole is None or len(whole.spans) != whole.summary.span_count:
                    torn.append(summary.trace_id)

    where = TraceFilter()
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        put(store, a_span(number, 0), a_span(number, 1), a_span(max(0, number - 1), 2))
    done.set()
    for thread in threads:
        thread.join()
    assert torn == []


WRITER = """
import sys
from clew.model import Batch
from clew.store import open_store
from clew.store.protocol import TraceFilter
from clew.testing.store_contract import a_span
store = open_store("sqlite:///" + sys.argv[1])
for number in range(int(sys.argv[2]), 1_000_000):
    store.write([Batch(spans=[a_span(number, span, inputs="word " * 200) for span in range(8)])])
    print(number, flush=True)
"""


def test_kill_minus_nine_loses_nothing_that_was_acknowledged(path):
    """And leaves no half of a batch: every trace is there with its eight spans, found by its words."""
    first = 0
    for acknowledged in (3, 11, 27):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(first)], stdout=subprocess.PIPE, text=True
        )
        lines = [writer.stdout.readline() for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        last = int(next(line for line in reversed(lines) if line.endswith("\n")))
        store = open_store(f"sqlite:///{path}")
        found = [store.trace("default", a_trace_id(number)) for number in range(last + 1)]
        assert all(trace is not None and len(trace.spans) == trace.summary.span_count == 8 for trace in found)
        stats = store.stats()
        assert stats["spans"] == 8 * stats["traces"]
        assert stats["traces"] - (last + 1) in (0, 1)
        first = stats["traces"]
        store.close()
