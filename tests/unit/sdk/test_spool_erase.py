"""What waits on disk for a server is erased too, and everything else stays."""

import msgspec
import pytest

from clew.sdk.parcels import DELTAS, NOTE, SPANS
from clew.sdk.spool import Spool
from clew.sdk.spool_erase import Mine, erase_spooled
from clew.sdk.spool_segment import SUFFIX

SAID = b"qxzsecretmarker"


def span(trace, user=None, **fields):
    return {
        "trace_id": trace,
        "span_id": "1",
        "name": "x",
        "user_id": user,
        "inputs": SAID.decode() if user else "x",
    } | fields


def body(*spans, scores=()):
    return SPANS + msgspec.msgpack.encode({"spans": list(spans), "scores": list(scores), "resource": {"a": 1}})


def keep(folder, *payloads):
    spool = Spool(folder, limit_bytes=1 << 20)
    for payload in payloads:
        spool.append(payload, 2)
    spool.close()


def waiting(folder):
    spool = Spool(folder, limit_bytes=1 << 20)
    payloads = []
    spool.replay(lambda payload, _: payloads.append(payload))
    assert spool.damaged_count == 0
    return payloads


def everything(root):
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_a_users_spans_go_from_every_spool(tmp_path):
    """Wherever one of a trace's spans names the user, its others go as well, from all segments."""
    other = body(span("b"), scores=[{"trace_id": "b", "name": "rating"}])
    keep(tmp_path / "one", body(span("a", "ana"), span("b")), other, NOTE + b"lost 3", DELTAS + b"counts")
    keep(tmp_path / "two", body(span("a", inputs=SAID.decode()), scores=[{"trace_id": "a", "comment": SAID.decode()}]))
    found = erase_spooled(tmp_path, Mine(user_id="ana"))
    assert (found.spans, found.segments, found.held) == (3, 2, 0)
    assert SAID not in everything(tmp_path)
    left = waiting(tmp_path / "one")
    assert left == [body(span("b")), other, NOTE + b"lost 3", DELTAS + b"counts"]
    assert list((tmp_path / "two").glob(f"*{SUFFIX}")) == []


@pytest.mark.parametrize("mine", [Mine(session_id="s"), Mine(trace_ids=["a"]), Mine(user_id="ana")], ids=str)
def test_by_session_and_by_trace_as_well(tmp_path, mine):
    """Also where OpenTelemetry's names for them are used."""
    marked = span("a", inputs=SAID.decode(), attributes={"session.id": "s", "user.id": "ana"})
    keep(tmp_path, body(marked, span("b")))
    assert erase_spooled(tmp_path, mine).spans == 1
    assert SAID not in everything(tmp_path)


def test_records_keep_their_number_and_place(tmp_path):
    """A process that has sent some of a segment goes on behind as many records."""
    keep(tmp_path, body(span("a", "ana")), body(span("b")))
    erase_spooled(tmp_path, Mine(user_id="ana"))
    first, second = waiting(tmp_path)
    assert msgspec.msgpack.decode(first[1:])["spans"] == []
    assert second == body(span("b"))


def test_a_segment_without_them_is_not_touched(tmp_path):
    """Nor is one of which nothing can be read."""
    keep(tmp_path, body(span("b")), SPANS + b"\xc1 no msgpack")
    [path] = tmp_path.glob(f"*{SUFFIX}")
    before = path.stat().st_ino, path.read_bytes()
    assert erase_spooled(tmp_path, Mine(user_id="ana")) == (0, 1, 0)
    assert (path.stat().st_ino, path.read_bytes()) == before


def test_what_a_living_process_holds_is_told(tmp_path):
    """It is being written; the process would go on writing to a file that has gone."""
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    spool.append(body(span("a", "ana")), 1)
    assert erase_spooled(tmp_path, Mine(user_id="ana")) == (0, 1, 1)
    spool.close()
    assert erase_spooled(tmp_path, Mine(user_id="ana")) == (1, 1, 0)


def test_no_spool_is_no_trouble(tmp_path):
    """Most machines have none."""
    assert erase_spooled(tmp_path / "none", Mine(user_id="ana")) == (0, 0, 0)
