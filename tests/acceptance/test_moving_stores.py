"""`clew export`, `clew import` and `clew backup` as people call them, killed in the middle, too."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing

import apsw
import pytest
from conftest import ADMIN_KEY, Running

from clew.graph import Graph
from clew.model.tally import count
from clew.store import open_store
from clew.testing.store_contract import START_NS, Score, a_span, a_trace_id, answers, put

TRACES = 40

_RUN = """
import os, signal, sys
import clew.move.exporting as exporting, clew.move.importing as importing, clew.move.parts as parts
from clew.move.boxes import FolderBox, FileBox
from clew.move.store_target import StoreTarget

exporting.PART_SPANS, exporting.MESSAGE_SPANS, importing.COMMIT_SPANS = 20, 5, 5

def dies_at(cls, name, number, late):
    plain, calls = getattr(cls, name), []
    def dying(self, *args, **named):
        calls.append(1)
        if len(calls) == number and not late:
            os.kill(os.getpid(), signal.SIGKILL)
        done = plain(self, *args, **named)
        if len(calls) == number and late:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(cls, name, dying)

{dies}
from clew.cli import main
sys.argv = ["clew", *sys.argv[1:]]
main()
"""


def clew(*args, dies="", **environ):
    """Run one command line in a process of its own, with small parts."""
    command = [sys.executable, "-c", _RUN.replace("{dies}", dies), *map(str, args)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    env = {**own, **environ, "COLUMNS": "200", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


@pytest.fixture
def source(tmp_path):
    """The URL of a store with eight parts' worth of traces."""
    url = f"sqlite:///{tmp_path}/source.db"
    store = open_store(url)
    for trace in range(TRACES):
        rating = Score(trace_id=a_trace_id(trace), name="rating", value=trace % 6, at_ns=START_NS)
        put(store, *[a_span(trace, number) for number in range(4)], scores=[rating])
    store.close()
    return url


def all_of(url):
    store = open_store(url, read_only=True)
    found = answers(store, "default")
    store.close()
    return found


def test_an_export_through_a_server_is_that_of_its_store(source, tmp_path):
    """To the letter, in pages, and killed in the middle as well; with an admin key only."""
    store = open_store(source)
    tags = {"at": START_NS, "big": 2**53 + 1, "share": 0.1 + 0.2, "raw": "\u0000 \U0001f600"}
    put(store, a_span(200, name="odd", attributes=tags, inputs=[None, tags], start_ns=START_NS + 123_456_789))
    store.add_arm("default", "next", "plain", {"heat": 1.0}, "", START_NS)
    store.save_template("default", "trip", "name: trip\ntools:\n  book: [search]\n", Graph(), START_NS)
    store.close()
    given = ("export", tmp_path / "folder", "--url")
    server = Running(source)
    try:
        assert clew(*given, server.url, "--key", "wrong").returncode == 1
        killed = clew(*given, server.url, "--key", ADMIN_KEY, dies=DEATHS["after the third part"])
        assert killed.returncode == -signal.SIGKILL
        again = clew(*given, server.url, CLEW_API_KEY=ADMIN_KEY)
        assert again.returncode == 0, again.stderr
    finally:
        server.stop()
    target = f"sqlite:///{tmp_path}/target.db"
    taken = clew("import", tmp_path / "folder", "--store", target)
    assert "41 traces, 161 spans, 40 scores: as the manifest says" in taken.stderr
    assert all_of(target) == all_of(source)
    with closing(open_store(target)) as copied, closing(open_store(source)) as original:
        assert copied.trace("default", a_trace_id(200)) == original.trace("default", a_trace_id(200))
        assert copied.arms("default", None) == original.arms("default", None)
        assert copied.templates("default") == original.templates("default")


DEATHS = {
    "before the first part": "dies_at(FolderBox, 'put', 1, False); dies_at(FileBox, 'put', 1, False)",
    "after the third part": "dies_at(FolderBox, 'put', 4, True); dies_at(FileBox, 'put', 4, True)",
    "in the middle of a part": "dies_at(parts.PartWriter, 'add', 14, True)",
    "while the manifest is replaced": "dies_at(FolderBox, 'finish', 5, False); dies_at(FileBox, '_append', 5, False)",
    "before the end": "dies_at(FolderBox, 'finish', 11, False); dies_at(FileBox, 'finish', 1, False)",
}


@pytest.mark.parametrize("place", ["folder", "one.clew"])
@pytest.mark.parametrize("dies", DEATHS.values(), ids=DEATHS)
def test_an_export_that_was_killed_goes_on_and_is_whole(source, tmp_path, place, dies):
    """kill -9, then the same command: every trace once, and no file of the first try is left over."""
    killed = clew("export", tmp_path / place, "--store", source, dies=dies)
    assert killed.returncode == -signal.SIGKILL
    again = clew("export", tmp_path / place, "--store", source)
    assert again.returncode == 0, again.stderr
    assert not list(tmp_path.rglob("*.partial"))
    target = f"sqlite:///{tmp_path}/target.db"
    taken = clew("import", tmp_path / place, "--store", target)
    assert taken.returncode == 0, taken.stderr
    assert "40 traces, 160 spans, 40 scores: as the manifest says" in taken.stderr
    assert all_of(target) == all_of(source)


@pytest.mark.parametrize(
    ("call", "late"),
    [("take_spans", True), ("take_scores", False), ("take_choice", True), ("take_beyond", True), ("learn", False)],
)
def test_an_import_that_was_killed_is_done_again(source, tmp_path, call, late):
    """Before or after any commit: what is there already is counted no second time."""
    store = open_store(source)
    store.apply_delta("default", "told", Graph(), {}, count([a_span(99, name="told")]))
    store.add_arm("default", "next", "plain", {"heat": 1.0}, "", START_NS)
    store.close()
    assert clew("export", tmp_path / "folder", "--store", source).returncode == 0
    target = f"sqlite:///{tmp_path}/target.db"
    killed = clew("import", tmp_path / "folder", "--store", target, dies=f"dies_at(StoreTarget, {call!r}, 1, {late})")
    assert killed.returncode == -signal.SIGKILL
    again = clew("import", tmp_path / "folder", "--store", target)
    assert again.returncode == 0, again.stderr
    assert all_of(target) == all_of(source)


def test_an_import_of_damaged_parts_says_which_and_fails(source, tmp_path):
    """Exit status 1, so that a script notices; the rest is imported."""
    clew("export", tmp_path / "folder", "--store", source)
    part = tmp_path / "folder" / "spans-00002.otlp.zst"
    part.write_bytes(part.read_bytes()[:-7])
    taken = clew("import", tmp_path / "folder", "--store", f"sqlite:///{tmp_path}/target.db")
    assert taken.returncode == 1
    assert "spans-00002.otlp.zst" in taken.stderr
    assert "35 traces" in taken.stderr


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        (("export", "{}/out", "--store", "sqlite:///{}/missing.db"), 1, "it is not there"),
        (("export", "{}/out", "--store", "{source}", "--project", "nope"), 2, "no project 'nope'"),
        (("export", "{}/out", "--store", "{source}", "--since", "soon"), 2, "ISO 8601"),
        (("export", "{}/out", "--url", "http://127.0.0.1:9"), 1, "nobody answers"),
        (("export", "{}/out", "--url", "http://127.0.0.1:9", "--keys"), 2, "gives no API keys away"),
        (("export", "{}/out", "--url", "sqlite:///x.db"), 2, "a store is a --store"),
        (("export", "http://127.0.0.1:4319"), 2, "is no folder or file"),
        (("import", "{}/nothing.clew", "--store", "memory:"), 1, "holds no export"),
        (("backup", "{}/copy.db", "--store", "postgresql://me:secret@db/clew"), 2, "pg_dump"),
        (("backup", "{}/copy.db", "--store", "memory:"), 2, "clew export"),
        (("backup", "{}/copy.db", "--store", "sqlite:///{}/missing.db"), 1, "it is not there"),
        (("backup", "{}/no/folder/copy.db", "--store", "{source}"), 1, "folder"),
        (("backup", "{}/source.db", "--store", "{source}"), 1, "there already"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(source, tmp_path, args, status, told):
    """And no trace of a traceback, nor of a password."""
    given = [each.replace("{source}", source).replace("{}", str(tmp_path)) for each in args]
    done = clew(*given)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert told in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_a_backup_of_postgresql_prints_the_command_that_makes_it(tmp_path):
    """To be copied: for the schema that the store lies in."""
    url = "postgresql://me:secret@db/clew?options=-csearch_path%3Dtraces"
    done = clew("backup", "copy.dump", "--store", url)
    assert done.stdout.startswith("pg_dump --format=custom --schema=traces --file=copy.dump ")


def test_a_backup_is_whole_while_somebody_writes(source, tmp_path):
    """One moment of the store; it can be opened as it is, and the writer was never refused."""
    stop, failed = threading.Event(), []
    writer = open_store(source)

    def write():
        number = 1000
        while not stop.is_set():
            try:
                put(writer, *[a_span(number, each) for each in range(4)])
            except Exception as error:
                failed.append(error)
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    done = clew("backup", tmp_path / "copy.db", "--store", source)
    stop.set()
    thread.join()
    writer.close()
    assert (done.returncode, failed) == (0, []), done.stderr
    copy = open_store(f"sqlite:///{tmp_path}/copy.db")
    stats = copy.stats()
    assert stats["spans"] == 4 * stats["traces"] >= 4 * TRACES
    put(copy, a_span(99_999))
    copy.close()
    assert apsw.Connection(str(tmp_path / "copy.db")).pragma("integrity_check") == "ok"
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]


def test_a_backup_that_was_killed_leaves_no_copy_and_the_next_one_works(source, tmp_path):
    """Half a copy must never be taken for one."""
    dies = "import clew.store.sqlite.backup as b; b._verify = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    killed = clew("backup", tmp_path / "copy.db", "--store", source, dies=dies)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "copy.db").exists()
    assert clew("backup", tmp_path / "copy.db", "--store", source).returncode == 0
    assert all_of(f"sqlite:///{tmp_path}/copy.db") == all_of(source)


def test_a_running_server_takes_an_export(source, tmp_path, serve):
    """Over HTTP, with a key: every trace, score and latency; and a second time changes nothing."""
    server = serve()
    assert clew("export", tmp_path / "folder", "--store", source).returncode == 0
    for _ in range(2):
        taken = clew(
            "import",
            tmp_path / "folder",
            "--url",
            server.url,
            "--key",
            server.admin.headers["authorization"].removeprefix("Bearer "),
            "--project",
            "default",
        )
        assert taken.returncode == 0, taken.stderr
    server.stop()
    assert all_of(f"sqlite:///{server.store}") == all_of(source)
