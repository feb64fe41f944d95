"""What goes wrong with an export costs only itself, and is told."""

import errno
import tarfile

import msgspec
import pytest
from moving import export, learn_all, take, tell_of

from clew.errors import ConfigError
from clew.move import exporting
from clew.move.boxes import box_at, is_export
from clew.move.exporting import AlreadyExported, ExportFailed, projects_of
from clew.move.importing import load
from clew.move.manifest import ExportTooNew, UnreadableExport
from clew.store import open_store
from clew.store.graph_protocol import DELTAS_KEPT_NS
from clew.store.protocol import KeyRecord
from clew.testing.store_contract import DAY_NS, START_NS, Score, a_span, a_trace_id, answers, ids, put

FORMS = pytest.mark.parametrize("place", ["folder", "one.clew"])


@pytest.fixture
def source(monkeypatch):
    """Thirty traces, in three parts."""
    monkeypatch.setattr(exporting, "PART_SPANS", 20)
    store = open_store("memory:")
    for trace in range(30):
        times = {"start_ns": START_NS + trace * 10**9, "end_ns": START_NS + (trace + 2) * 10**9}
        rating = Score(trace_id=a_trace_id(trace), name="rating", value=trace % 6, at_ns=START_NS)
        put(store, a_span(trace, **times), a_span(trace, 1, **times), scores=[rating])
    return store


@pytest.fixture
def target(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/target.db")
    yield store
    store.close()


def spoil(path, at):
    """Flip one bit."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@FORMS
def test_a_flipped_bit_costs_its_part_and_no_other(source, target, tmp_path, place):
    """A disk that lies about one block must not cost the rest of a year."""
    export(source, tmp_path / place)
    if place == "folder":
        spoil(tmp_path / place / "spans-00002.otlp.zst", 60)
    else:
        with tarfile.open(tmp_path / place) as tar:
            at = tar.getmember("spans-00002.otlp.zst").offset_data
        spoil(tmp_path / place, at + 60)
    done, matches = take(tmp_path / place, target)
    assert not matches
    [problem] = done.problems
    assert (problem.part.file, "checksum" in problem.why) == ("spans-00002.otlp.zst", True)
    assert (done.traces, done.spans) == (20, 40)
    assert len(ids(target)) == 20


def test_a_part_that_is_not_there_costs_itself(source, target, tmp_path):
    """Copied without it."""
    export(source, tmp_path / "folder")
    (tmp_path / "folder" / "spans-00003.otlp.zst").unlink()
    done, matches = take(tmp_path / "folder", target)
    assert not matches
    assert [problem.part.file for problem in done.problems] == ["spans-00003.otlp.zst"]
    assert len(ids(target)) == 20


def test_of_a_file_that_is_cut_short_the_parts_before_the_cut_are_taken(source, target, tmp_path):
    """A copy that was broken off; it is not taken for whole."""
    export(source, tmp_path / "one.clew")
    whole = (tmp_path / "one.clew").read_bytes()
    with tarfile.open(tmp_path / "one.clew") as tar:
        cut = tar.getmember("spans-00002.otlp.zst").offset_data + 10
    (tmp_path / "one.clew").write_bytes(whole[:cut])
    done, matches = take(tmp_path / "one.clew", target)
    assert not matches
    assert (done.complete, done.problems, done.traces) == (False, [], 10)


@FORMS
def test_an_export_of_a_newer_clew_is_refused_whole(source, target, tmp_path, place):
    """What it means may have changed."""
    export(source, tmp_path / place)
    path = tmp_path / place / "manifest.json" if place == "folder" else tmp_path / place
    path.write_bytes(path.read_bytes().replace(b'"format": 1,', b'"format": 2,'))
    with pytest.raises(ExportTooNew, match="upgrade"):
        take(tmp_path / place, target)
    assert ids(target) == []


def test_what_is_no_export_is_told(tmp_path):
    """A folder of photographs, a manifest of something else, a file with the right name."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "a web app"}')
    (tmp_path / "events.clew").write_text("no tar at all " * 100)
    for name in ("photos", "other", "events.clew", "missing.clew"):
        assert is_export(str(tmp_path / name)) == (name != "events.clew")
        with pytest.raises(UnreadableExport):
            load(box_at(str(tmp_path / name)), name)


def test_a_manifest_never_names_a_file_elsewhere(source, target, tmp_path):
    """It may come from anyone."""
    export(source, tmp_path / "folder")
    path = tmp_path / "folder" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"spans-00001.otlp.zst", b"../spans-00001.otlp"))
    done, _ = take(tmp_path / "folder", target)
    assert [problem.why for problem in done.problems] == ["its name is none"]


@FORMS
def test_an_export_that_failed_for_space_goes_on_where_it_was(source, target, tmp_path, place, monkeypatch):
    """The disk is full in the second part: what is finished stays, and nothing half done is left."""
    durable, calls = exporting.make_durable, []

    def fails_once(file):
        calls.append(file)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        durable(file)

    monkeypatch.setattr(exporting, "make_durable", fails_once)
    with pytest.raises(ExportFailed, match="no space"):
        export(source, tmp_path / place)
    assert not list(tmp_path.rglob("*.partial"))
    half = load(box_at(str(tmp_path / place)), place)
    assert (half.complete, half.totals.traces) == (False, 10)
    finished = export(source, tmp_path / place)
    assert finished.export_id == half.export_id
    done, matches = take(tmp_path / place, target)
    assert matches, done
    assert answers(target, "default") == answers(source, "default")


@FORMS
def test_a_place_that_holds_something_else_is_left_alone(source, tmp_path, place):
    """A finished export, half of another, or files of one's own."""
    export(source, tmp_path / place)
    with pytest.raises(AlreadyExported, match="finished"):
        export(source, tmp_path / place)
    box = box_at(str(tmp_path / place))
    manifest = load(box, place)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"")
    with pytest.raises(UnreadableExport, match="not empty"):
        export(source, tmp_path / "mine")
    assert load(box_at(str(tmp_path / place)), place) == manifest


def test_half_of_an_export_of_other_things_is_not_gone_on_with(source, tmp_path, monkeypatch):
    """Its second half would be of another store, or of another time."""
    monkeypatch.setattr(exporting.Exporter, "_some_traces", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "EIO")))
    with pytest.raises(ExportFailed):
        export(source, tmp_path / "folder")
    monkeypatch.undo()
    with pytest.raises(AlreadyExported, match="since_ns"):
        export(source, tmp_path / "folder", window=(START_NS, None))


def test_a_project_that_is_not_there_is_told_with_those_that_are(source):
    """A typing error must not give an empty backup."""
    with pytest.raises(ConfigError, match="'default'"):
        projects_of(source, "defualt")


def test_a_second_import_changes_nothing(source, target, tmp_path):
    """Spans are counted once, whatever was imported before; and so is what is known beyond them."""
    tell_of(source, "default", "one", a_span(90, kind="tool"))
    learn_all(source)
    export(source, tmp_path / "folder")
    first, _ = take(tmp_path / "folder", target)
    learn_all(target)
    before = answers(target, "default"), target.graph("default").content()
    again, matches = take(tmp_path / "folder", target)
    learn_all(target)
    assert matches
    assert (first.duplicates, again.duplicates) == (0, 60)
    assert (first.beyond, again.beyond, again.beyond_before) == (1, 0, 1)
    assert (answers(target, "default"), target.graph("default").content()) == before
    assert before[0] == answers(source, "default")


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_an_import_years_later_adds_nothing_twice(source, tmp_path, kind, request, monkeypatch):
    """Marks of what SDKs report are forgotten after a week; those of exports never."""
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/late.db"}
    target = open_store(urls.get(kind) or request.getfixturevalue("postgres_schema"))
    tell_of(source, "default", "one", a_span(90, kind="tool"))
    export(source, tmp_path / "folder")
    take(tmp_path / "folder", target)
    with monkeypatch.context() as later:
        now_ns = DELTAS_KEPT_NS * 300
        later.setattr("time.time_ns", lambda: START_NS + now_ns)
        tell_of(target, "other", "two", a_span(91, kind="tool"))
        again, _ = take(tmp_path / "folder", target)
    assert (again.beyond, again.beyond_before) == (0, 1)
    target.close()


def test_a_store_that_holds_some_of_it_gets_the_rest(source, target, tmp_path):
    """Half of the traces were sent to it, one of them only in part."""
    for summary in source.list_traces("default", exporting.TraceFilter(), limit=15).traces:
        put(target, *source.trace("default", summary.trace_id).spans[: 1 if summary.start_ns % 2 else 2])
    export(source, tmp_path / "folder")
    done, matches = take(tmp_path / "folder", target)
    assert matches
    assert done.duplicates == 30
    assert answers(target, "default") == answers(source, "default")


def test_a_window_keeps_to_the_traces_that_started_in_it(source, target, tmp_path):
    """For a second export that only catches up: spans and scores, which the target counts by itself."""
    tell_of(source, "default", "one", a_span(90, kind="tool"))
    window = START_NS + 5 * 10**9, START_NS + 8 * 10**9
    manifest = export(source, tmp_path / "folder", window=window)
    assert (manifest.totals.traces, manifest.totals.scores, manifest.of("default", "beyond")) == (3, 3, [])
    take(tmp_path / "folder", target)
    assert ids(target) == [a_trace_id(7), a_trace_id(6), a_trace_id(5)]
    assert [each.count for each in target.latency("default", since_ns=0, until_ns=START_NS + DAY_NS)] == [6]


def test_keys_travel_only_when_they_are_asked_for_twice(source, target, tmp_path):
    """When they are exported, and when they are taken in."""
    key = KeyRecord(key_hash="ab" * 32, scope="admin", project="*", label="mine", created_ns=1)
    source.add_key(key)
    assert not export(source, tmp_path / "without").of("", "keys")
    export(source, tmp_path / "with", keys=True)
    done, _ = take(tmp_path / "with", target)
    assert (done.keys_left, target.list_keys()) == (1, [])
    done, _ = take(tmp_path / "with", target, keys=True)
    assert (done.keys, target.list_keys()) == (1, [key])


def test_a_project_can_be_imported_under_another_name(source, target, tmp_path):
    """To look at a customer's traces beside one's own."""
    export(source, tmp_path / "folder")
    _, matches = take(tmp_path / "folder", target, rename=lambda name: name and "theirs")
    assert matches
    assert target.projects() == ["theirs"]


def test_workflows_and_arms_are_moved_with_their_shares(target, tmp_path):
    """What people decided is dearer than what was traced. A second import decides nothing again."""
    source = open_store("memory:")
    put(source, a_span())
    from clew.graph.templates import read_template, template_graph

    text = "book: [search]\nsearch: []\n"
    source.save_template("default", "trip", text, template_graph(read_template(text)), START_NS)
    for name in ("plain", "bold"):
        source.add_arm("default", "next", name, {"heat": 0.5}, "why", START_NS)
    source.choose_arms("default", "next", {1: 0.25, 2: 0.75})
    export(source, tmp_path / "folder")
    first, _ = take(tmp_path / "folder", target)
    again, _ = take(tmp_path / "folder", target)
    assert (first.choices, again.choices) == (3, 0)
    assert target.templates("default") == source.templates("default")
    assert target.arms("default", None) == source.arms("default", None)
    assert target.graph("default").content() == source.graph("default").content()


def test_the_manifest_is_plain_json(source, tmp_path):
    """People read it, and other programs."""
    export(source, tmp_path / "folder")
    told = msgspec.json.decode((tmp_path / "folder" / "manifest.json").read_bytes())
    assert told["totals"] == {"traces": 30, "spans": 60, "scores": 30}
