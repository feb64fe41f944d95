"""`clew retention` and `clew erase`, on a store."""

import json
import time
from contextlib import closing

import msgspec
import pytest

from clew.cli.app import app
from clew.sdk.parcels import SPANS
from clew.sdk.spool import Spool
from clew.store import open_store
from clew.testing.store_contract import DAY_NS, SECOND_NS, a_span, a_trace_id, put
from clew.testing.store_contract_retention import listed


@pytest.fixture
def url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/clew.db"
    monkeypatch.setenv("CLEW_STORE", url)
    now_ns = time.time_ns()
    with closing(open_store(url)) as store, monkeypatch.context() as an_hour_ago:
        an_hour_ago.setattr("time.time_ns", lambda: now_ns - 3_600 * SECOND_NS)
        put(store, began(0, 40, user_id="ana", session_id="s"), a_span(0, 1), began(1, 40, status="error"), began(2, 1))
    return url


def began(number, days, **fields):
    start_ns = time.time_ns() - days * DAY_NS
    return a_span(number, start_ns=start_ns, end_ns=start_ns + SECOND_NS, **fields)


def run(capsys, *args):
    """Run a command; its exit status, stdout and stderr."""
    status = 0
    try:
        app(list(args))
    except SystemExit as end:
        status = end.code or 0
    answer = capsys.readouterr()
    return status, answer.out, answer.err


def kept(url):
    with closing(open_store(url)) as store:
        return listed(store)


def test_a_dry_run_says_what_would_go_and_drops_nothing(url, capsys, monkeypatch):
    """Traces, spans and about how many bytes, by project and rule."""
    monkeypatch.setenv("CLEW_RETENTION", "30d")
    monkeypatch.setenv("CLEW_RETENTION_RULES", "status:error=35d")
    status, out, err = run(capsys, "retention", "--dry-run")
    assert status == 0
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        ["default", "all", "1", "2"],
        ["default", "status:error", "1", "1"],
    ]
    assert "2 traces would go" in err
    assert len(kept(url)) == 3


def test_what_went_and_what_would_go_can_be_read_by_a_program(url, capsys, monkeypatch):
    """One document each, whose sums agree."""
    monkeypatch.setenv("CLEW_RETENTION", "30d")
    planned = json.loads(run(capsys, "retention", "--dry-run", "--json")[1])
    done = json.loads(run(capsys, "retention", "--json")[1])
    assert [planned["would_go"][name] for name in ("traces", "spans", "waiting")] == [2, 3, 2]
    assert [(each["project"], each["rule"], each["traces"]) for each in planned["by_rule"]] == [("default", "all", 2)]
    assert done["expired"] == {"traces": 2, "spans": 3}
    assert done["used_bytes"] > 0


def test_nothing_that_would_go_is_no_empty_table(url, capsys, monkeypatch):
    """A line says it; headings without rows look broken."""
    monkeypatch.setenv("CLEW_RETENTION", "1000d")
    assert run(capsys, "retention", "--dry-run") == (0, "", "0 traces would go, about 0 B\n")


def test_it_drops_now_what_is_too_old_once_it_is_learned(url, capsys, monkeypatch):
    """No server has to run."""
    monkeypatch.setenv("CLEW_RETENTION", "30d")
    monkeypatch.setenv("CLEW_RETENTION_RULES", "status:error=90d")
    status, _, err = run(capsys, "retention")
    assert status == 0
    assert "1 traces (2 spans) were too old" in err
    assert kept(url) == {a_trace_id(1), a_trace_id(2)}
    with closing(open_store(url)) as store:
        assert store.graph("default").trace_count == 3


def test_without_a_setting_nothing_goes_and_that_is_said(url, capsys):
    """Whoever wonders is told which setting it is."""
    _, _, err = run(capsys, "retention", "--dry-run")
    assert "CLEW_RETENTION" in err
    assert run(capsys, "retention")[0] == 0
    assert len(kept(url)) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLEW_RETENTION", "soon"),
        ("CLEW_RETENTION", "0d"),
        ("CLEW_RETENTION_RULES", "status:bad=3d"),
        ("CLEW_RETENTION_RULES", "error=3d"),
        ("CLEW_RETENTION_BYTES", "20XB"),
        ("CLEW_RETENTION_BYTES", "-1"),
        ("CLEW_RETENTION_METRICS", "weeks=3d"),
    ],
)
def test_a_setting_that_cannot_be_read_stops_it(url, capsys, monkeypatch, name, value):
    """Better nothing goes than the wrong thing."""
    monkeypatch.setenv(name, value)
    status, _, err = run(capsys, "retention")
    assert (status, name in err) == (2, True)
    assert len(kept(url)) == 3


@pytest.mark.parametrize("whom", [("--user", "ana"), ("--session", "s"), ("--trace", a_trace_id(0))], ids=str)
def test_erasing_leaves_nothing_in_store_and_spool(url, capsys, monkeypatch, tmp_path, whom):
    """The spool of this machine is searched too."""
    waits = {"trace_id": a_trace_id(0), "span_id": "2", "name": "x", "user_id": "ana", "session_id": "s"}
    monkeypatch.setenv("CLEW_SPOOL", str(tmp_path / "spool"))
    spool = Spool(tmp_path / "spool" / "0123", limit_bytes=1 << 20)
    spool.append(SPANS + msgspec.msgpack.encode({"spans": [waits]}), 1)
    spool.close()
    status, _, err = run(capsys, "erase", *whom, "--yes")
    assert status == 0
    assert "1 traces (2 spans) erased in default" in err
    assert "1 spans and scores taken out" in err
    assert kept(url) == {a_trace_id(1), a_trace_id(2)}
    assert not spool.waits()


def test_nobody_is_erased_unasked(url, capsys):
    """Where nobody can be asked, --yes says it."""
    assert run(capsys, "erase", "--user", "ana")[0] == 2
    assert run(capsys, "erase", "--yes")[0] == 2
    assert run(capsys, "erase", "--user", "ana", "--session", "s", "--yes")[0] == 2
    assert run(capsys, "erase", "--trace", "no id", "--yes")[0] == 2
    assert len(kept(url)) == 3


def test_the_files_can_be_cleaned_later(url, capsys, tmp_path):
    """By the next round of retention, when it disturbs nobody."""
    assert run(capsys, "erase", "--user", "ana", "--yes", "--later")[0] == 0
    with closing(open_store(url)) as store:
        assert store.scrub() is True
