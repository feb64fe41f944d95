"""What a writer of an SQLite store asks of the system, in which order, and what a kill at each of these leaves."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torture_rig as rig
import torture_writer as writer
from test_torture_disk import may_trace

from clew.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not may_trace(), reason="watching system calls needs strace, and the right to trace"),
]

BATCHES = 3
CALLS = ("pwrite64", "fdatasync", "ftruncate", "unlink")


def watched(folder: Path, *options: str) -> tuple[str, str]:
    """Run the writer under strace; give what it said, and what strace saw."""
    log = folder / "log"
    command = ["strace", "-qq", "--seccomp-bpf", "-y", "-o", str(log), *options]
    command += [sys.executable, writer.__file__, f"sqlite:///{folder}/clew.db", str(BATCHES)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=rig.PATIENCE_S)
    assert "Error" not in said.stderr, said.stderr
    return said.stdout, log.read_text()


def test_what_is_acknowledged_was_synced_before(tmp_path):
    """The order of the system calls: nothing may lie between page cache and disk when the writer is told."""
    said, seen = watched(tmp_path, "-e", "trace=pwrite64,fdatasync,fsync,write")
    assert said.count(writer.ACKNOWLEDGED) == BATCHES
    dirty: set[str] = set()
    synced, acknowledged = 0, 0
    for line in seen.splitlines():
        call, path = re.match(r"(\w+)\(\d+<([^>]*)>", line).groups()
        if call == "pwrite64" and not path.endswith("-shm"):
            dirty.add(path)
        elif call in ("fdatasync", "fsync"):
            dirty.discard(path)
            synced += 1
        elif call == "write" and writer.ACKNOWLEDGED in line:
            assert not dirty
            assert synced > acknowledged, "each batch waits for the disk itself"
            acknowledged += 1
    assert acknowledged == BATCHES


def test_a_kill_at_any_system_call_leaves_each_batch_whole_or_away(tmp_path, tell):
    """SIGKILL at the Nth call, for every N: what was acknowledged is there, and nothing is there by half."""
    whole = tmp_path / "whole"
    whole.mkdir()
    _, seen = watched(whole, "-e", f"trace={','.join(CALLS)}")
    counts = Counter(line.partition("(")[0] for line in seen.splitlines())
    places = [(call, number) for call in CALLS for number in range(1, counts[call] + 1)]
    places = places[:: max(1, len(places) // rig.times(16, 100_000))]
    acknowledged = 0
    for call, number in places:
        folder = tmp_path / f"{call}-{number}"
        folder.mkdir()
        said, _ = watched(folder, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
        acknowledged += said.count(writer.ACKNOWLEDGED)
        assert said.count(writer.ACKNOWLEDGED) <= batches_in(folder), f"killed at {call} {number}"
        shutil.rmtree(folder)
    assert acknowledged, "some were killed after an acknowledgement"
    tell(f"kill -9 at {len(places)} of {counts.total()} system calls: {acknowledged} batches acknowledged, 0 missing")


def batches_in(folder: Path) -> int:
    """Open what is left as the next server would, and count its batches, each of which must be whole."""
    store = open_store(f"sqlite:///{folder}/clew.db")
    try:
        found = 0
        for batch in range(BATCHES):
            traces = [store.trace("default", trace_id) for trace_id in writer.trace_ids(batch)]
            there = [trace for trace in traces if trace is not None]
            assert len(there) in (0, writer.TRACES_PER_BATCH), "a batch is torn"
            assert all(len(trace.spans) == writer.SPANS_PER_TRACE for trace in there), "a trace is torn"
            found += bool(there)
        store.write([])
        return found
    finally:
        store.close()
