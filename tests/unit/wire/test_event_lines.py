"""Events of any sender become spans: whole where both halves are there, running or ended where not."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import MalformedBody
from clew.model import Span
from clew.model.halves import keep
from clew.wire import events
from clew.wire.event_times import Base, Unreadable, read_time

NOW_NS = 1_795_163_400_000_000_000
TRACE, SPAN, PARENT = "a" * 32, "b" * 16, "c" * 16


def read(*sent, body=None):
    return events.decode(json.dumps(list(sent)).encode() if body is None else body, received_ns=NOW_NS).decoded


def spans(*sent, body=None):
    decoded = read(*sent, body=body)
    assert decoded.rejected == []
    return decoded.spans


def start(**fields):
    return {"type": "tool_start", "trace_id": TRACE, "span_id": SPAN, "name": "search", "ts": NOW_NS - 10**9} | fields


def end(**fields):
    return start(type="tool_end", ts=NOW_NS, success=True) | fields


# One event.


def test_a_start_is_a_span_that_runs():
    """Its end may come in another request, or never."""
    (span,) = spans(start(args={"q": "x"}, parent_id=PARENT))

    assert (span.trace_id, span.span_id, span.parent_id, span.kind) == (TRACE, SPAN, PARENT, "tool")
    assert (span.start_ns, span.end_ns, span.inputs) == (NOW_NS - 10**9, None, {"q": "x"})
    assert span.attributes == {"clew.event": "start"}


def test_an_end_is_a_finished_span_that_says_that_it_is_only_an_end():
    """Its start is reckoned from how long it took."""
    (span,) = spans(end(parent_id=None, duration_ms=250, result=[1]))

    assert (span.start_ns, span.end_ns, span.status, span.outputs) == (NOW_NS - 250_000_000, NOW_NS, "ok", [1])
    assert span.attributes == {"clew.event": "end"}


def test_an_end_that_does_not_say_how_long_it_took_starts_at_its_end_and_says_so():
    """So that a start that comes later is believed."""
    (span,) = spans(end(parent_id=None))

    assert span.start_ns == span.end_ns == NOW_NS
    assert span.attributes == {"clew.event": "end", "clew.event.start_is_derived": True}


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        ({"success": True}, "ok", ""),
        ({"success": False}, "error", ""),
        ({"success": None, "ok": 0}, "error", ""),
        ({"success": None, "error": "boom"}, "error", "boom"),
        ({"success": False, "error": {"type": "E", "message": "boom"}}, "error", "boom"),
        ({"success": None, "error": None}, "unset", ""),
        ({"success": "true"}, "ok", ""),
        ({"success": None}, "unset", ""),
    ],
)
def test_success_and_error_make_the_status(outcome, status, message):
    """What is not said is not guessed."""
    (span,) = spans(end(**outcome))

    assert (span.status, span.status_message) == (status, message)


def test_success_with_an_error_is_told():
    """Somebody is wrong; the reader should know."""
    (span,) = spans(end(success=True, error="retried once"))

    assert (span.status, span.status_message) == ("ok", "retried once")
    assert any("success counts" in problem for problem in span.problems)


@pytest.mark.parametrize("word", ["tool_start", "TOOL_START", "tool.start", "toolStart", "tool-start", "Tool Start"])
def test_the_type_is_read_in_any_spelling(word):
    """Languages differ."""
    assert spans(start(type=word))[0].kind == "tool"


@pytest.mark.parametrize(
    "names",
    [
        {"trace_id": "trace", "span_id": "id", "parent_id": "parent", "name": "tool", "ts": "timestamp"},
        {"trace_id": "traceId", "span_id": "spanId", "parent_id": "parentTraceId", "name": "toolId", "args": "input"},
        {"parent_id": "parent_trace_id", "name": "capability", "args": "arguments", "span_id": "id"},
    ],
)
def test_fields_are_found_under_their_other_names(names):
    """Nobody renames the fields of a running system for us."""
    sent = start(parent_id=PARENT, args={"q": 1})
    (renamed,) = spans({names.get(name, name): value for name, value in sent.items()})

    assert renamed == spans(sent)[0]


@pytest.mark.parametrize("key", ["payload", "data"])
def test_what_lies_under_a_payload_is_brought_up(key):
    """Buses wrap their messages; the envelope's id is that of the message."""
    inner = start(args={"q": 1}, parent_id=None)
    (plain,) = spans(inner)
    (wrapped,) = spans({"type": inner.pop("type"), "id": "message 7", key: inner})
    (half,) = spans({"type": "tool_start", "trace_id": TRACE, "span_id": SPAN, key: start(trace_id="other")})

    assert wrapped.attributes.pop("clew.event.envelope_id") == "message 7"
    assert wrapped == plain
    assert half.trace_id == TRACE


def test_what_is_not_known_is_kept_as_an_attribute():
    """What the recorder knew, the learner may use."""
    extra = {"task": "7", "turn": 3, "run": "gpt", "reward": 0.5, "df": ["0"], "pend": ["a.b"], "cons": ["c"], "x": {}}
    (span,) = spans(
        {"trace": "t", "id": "1", "parent": None, "type": "tool", "name": "n", "start": 0, "end": 1} | extra
    )

    assert {name: span.attributes[f"clew.event.{name}"] for name in extra} == extra


# Times.


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (1_795_163_400, NOW_NS),
        (1_795_163_400_123, NOW_NS + 123_000_000),
        (1_795_163_400_123_456, NOW_NS + 123_456_000),
        (NOW_NS + 123_456_789, NOW_NS + 123_456_789),
        ("1795163400", NOW_NS),
        (1_795_163_400.5, NOW_NS + 500_000_000),
        ("2026-11-20T09:50:00Z", 1_795_168_200_000_000_000),
        ("2026-11-20T09:50:00.123456789Z", 1_795_168_200_123_456_789),
        ("2026-11-20 10:50:00.5+01:00", 1_795_168_200_500_000_000),
        ("2026-11-20T09:50", 1_795_168_200_000_000_000),
        ("2026-11-20T08:20:00-0130", 1_795_168_200_000_000_000),
    ],
)
def test_a_time_is_read_by_its_magnitude_or_as_iso_8601(value, ns):
    """Of the four units only one puts a number into this century."""
    assert read_time(value, Base(0)) == (ns, False)


@given(st.integers(946_684_800 * 10**9, 4_102_444_799 * 10**9))
def test_every_time_of_the_century_comes_back_in_every_unit(ns):
    """Exactly, down to the unit."""
    for unit in (10**9, 10**6, 10**3, 1):
        assert read_time(ns // unit, Base(0)).ns == ns // unit * unit


@pytest.mark.parametrize(
    "value", [5e10, 1e15 * 5, float("inf"), "yesterday", "", True, [], "2026-13-01T00:00:00Z", 10**40]
)
def test_what_is_no_time_is_refused(value):
    """Nothing is guessed."""
    with pytest.raises(Unreadable):
        read_time(value, Base(0))


@pytest.mark.parametrize(("value", "offset_ns"), [(0, 0), (3, 3_000_000), (2.871, 2_871_000_000), (-1, -1_000_000)])
def test_a_small_number_is_an_order_and_counts_from_the_base(value, offset_ns):
    """Whole numbers in units, fractions in seconds, as where recorded traces are learned from."""
    assert read_time(value, Base(NOW_NS)) == (NOW_NS + offset_ns, True)


@pytest.mark.parametrize("ts", ["yesterday", None, {}, 5e10])
def test_an_event_without_a_time_that_can_be_read_is_kept_and_says_so(ts):
    """Better late than lost."""
    (span,) = spans(start(ts=ts))

    assert span.start_ns == NOW_NS
    assert any("when it was received" in problem for problem in span.problems)


# Ids.


def test_ids_that_are_no_w3c_ids_are_hashed_and_kept():
    """The same id is the same span, whoever sends it; in another trace it is another one."""
    (one,) = spans(start(trace_id="run-7", span_id="0", parent_id="9"))
    (same,) = spans(start(trace_id="run-7", span_id=0, parent_id=9))
    (other,) = spans(start(trace_id="run-8", span_id="0", parent_id="9"))

    assert one == same
    assert (len(one.trace_id), len(one.span_id), len(one.parent_id)) == (32, 16, 16)
    assert one.span_id != other.span_id
    assert {name: one.attributes[f"clew.event.{name}"] for name in ("trace", "id", "parent")} == {
        "trace": "run-7",
        "id": "0",
        "parent": "9",
    }


def test_w3c_ids_are_kept_in_lower_case():
    """They may join spans that came another way."""
    (span,) = spans(start(trace_id=TRACE.upper(), span_id=SPAN.upper(), parent_id=PARENT.upper()))

    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, PARENT)


def test_two_ids_for_one_call_are_told_and_the_first_counts():
    """Nothing is lost: the other one is kept."""
    (span,) = spans(start(id="other"))

    assert span.span_id == SPAN
    assert span.attributes["clew.event.id"] == "other"
    assert "it says span_id and id, which differ: span_id counts" in span.problems


def test_one_id_for_two_calls_is_rejected_by_name():
    """The store would keep one of them and say nothing."""
    decoded = read(start(), start(name="fetch"), end(name=None))

    assert [(each.index, "'search'" in each.error) for each in decoded.rejected] == [(1, True)]
    assert [(span.name, span.end_ns) for span in decoded.spans] == [("search", NOW_NS)]


# Halves.


def test_both_halves_in_one_body_are_one_span_in_any_order():
    """The start's arguments, the end's outcome."""
    halves = [start(args={"q": 1}, parent_id=PARENT), end(result="r", parent_id=PARENT)]
    (whole,) = spans(*halves)
    (turned,) = spans(*halves[::-1])

    assert whole == turned
    assert (whole.inputs, whole.outputs, whole.parent_id, whole.duration_ns) == ({"q": 1}, "r", PARENT, 10**9)
    assert "clew.event" not in whole.attributes


def test_halves_from_two_bodies_join_to_the_same_span():
    """Which the store does."""
    first, second = start(args={"q": 1}, parent_id="p", trace_id="t"), end(parent_id="p", trace_id="t")
    kept: dict[str, Span] = {}
    for sent in (second, first):
        keep(spans(sent)[0], kept)

    assert list(kept.values()) == spans(first, second)


def test_a_half_that_comes_twice_changes_nothing():
    """Senders repeat themselves."""
    assert spans(start(), start(), end(), end(), start()) == spans(start(), end())


def test_an_end_that_names_no_parent_takes_that_of_its_start():
    """Older senders said it only once; its call is not one without a parent."""
    (whole,) = spans(start(parent_id=PARENT), end())

    assert whole.parent_id == PARENT
    assert "clew.event.parentless" not in whole.attributes


def test_clocks_that_disagree_cost_no_event():
    """A span never ends before it starts, and says what was wrong."""
    (whole,) = spans(start(ts=NOW_NS), end(ts=NOW_NS - 10**9))

    assert whole.start_ns == whole.end_ns
    assert any("before its start" in problem for problem in whole.problems)


# Who called whom.


def test_no_field_for_a_parent_is_told_apart_from_an_explicit_top():
    """Only the first leaves room to infer one."""
    top, unknown = spans(start(parent_id=None), start(span_id="d" * 16))

    assert "clew.event.parentless" not in top.attributes
    assert unknown.attributes["clew.event.parentless"] is True


def old(kind, call, parent, ts, **fields):
    named = {"parent_trace_id": parent} if parent != "unsaid" else {}
    return {"type": kind, "trace_id": call, **named, "name": call.title(), "ts": NOW_NS + ts} | fields


def test_old_events_whose_trace_id_is_the_calls_own_share_the_trace_of_their_topmost_ancestor():
    """Before there were spans, each call had a trace id, and its parent's."""
    sent = [
        old("capability_start", "plan", None, 0),
        old("tool_start", "search", "plan", 1),
        old("tool_end", "search", "unsaid", 2, success=True),
        old("capability_end", "plan", "unsaid", 3, success=True),
    ]
    random.Random(7).shuffle(sent)
    plan, search = sorted(spans(*sent), key=lambda span: span.start_ns)

    assert plan.trace_id == search.trace_id
    assert (plan.parent_id, search.parent_id) == (None, plan.span_id)
    assert None not in (plan.end_ns, search.end_ns)
    assert all("clew.event.parentless" not in span.attributes for span in (plan, search))


def test_old_events_take_the_run_that_they_or_an_ancestor_name():
    """So that their trace does not depend on what came in the same body."""
    sent = [old("capability_start", "plan", None, 0, session="s1"), old("tool_start", "search", "plan", 1)]
    together = spans(*sent)
    (alone,) = spans(sent[0])

    assert len({span.trace_id for span in together}) == 1
    assert alone.trace_id == together[0].trace_id
    assert together[0].session_id == "s1"


def test_events_that_name_no_call_are_paired_by_name():
    """Innermost first, and by how long they took where they say so."""
    base = {"trace_id": "run", "name": "a"}
    nested = spans(
        {"type": "capability_start", "ts": NOW_NS, **base},
        {"type": "capability_start", "ts": NOW_NS + 10, **base},
        {"type": "capability_end", "ts": NOW_NS + 20, **base},
        {"type": "capability_end", "ts": NOW_NS + 90, **base},
    )
    timed = spans(
        {"type": "tool_start", "ts": NOW_NS, **base},
        {"type": "tool_start", "ts": NOW_NS + 2_000_000, **base},
        {"type": "tool_end", "ts": NOW_NS + 3_000_000, "duration_ms": 3, **base},
        {"type": "tool_end", "ts": NOW_NS + 9_000_000, "duration_ms": 7, **base},
    )

    assert sorted((span.start_ns - NOW_NS, span.end_ns - NOW_NS) for span in nested) == [(0, 90), (10, 20)]
    assert sorted(span.duration_ns for span in timed) == [3_000_000, 7_000_000]
    assert {span.attributes["clew.event.parentless"] for span in nested + timed} == {True}


def test_events_that_name_no_call_lose_nothing_over_several_bodies():
    """Two calls never become one; halves find each other if duration and start agree."""
    base = {"trace_id": "run", "name": "a", "type": "tool_start"}
    (first,), (second,) = spans(base | {"ts": NOW_NS}), spans(base | {"ts": NOW_NS + 1})
    (ended,) = spans(base | {"type": "tool_end", "ts": NOW_NS + 5_000_000, "duration_ms": 5})

    assert first.span_id != second.span_id
    assert ended.span_id == first.span_id


def test_a_cycle_of_parents_is_kept_in_one_trace():
    """Only a broken sender makes one; the tree cuts it."""
    sent = [old("tool_start", call, parent, at) for at, (call, parent) in enumerate(["ab", "bc", "ca"])]
    turned = [old("tool_start", "x", "a", 9), *sent[::-1]]

    assert len({span.trace_id for span in spans(*sent)}) == 1
    assert {span.trace_id for span in spans(*sent)} == {span.trace_id for span in spans(*turned)}
    assert len(spans(*sent)) == 3


def test_a_call_that_is_its_own_parent_is_at_the_top():
    """It says so."""
    (span,) = spans(start(parent_id=SPAN))

    assert span.parent_id is None
    assert span.problems


# Bodies.


@pytest.mark.parametrize(
    "body",
    [
        lambda sent: json.dumps(sent).encode(),
        lambda sent: json.dumps({"events": sent}).encode(),
        lambda sent: json.dumps(sent, indent=2).encode(),
        lambda sent: "\n".join(map(json.dumps, sent)).encode(),
        lambda sent: ("\r\n\r\n".join(map(json.dumps, sent)) + "\n").encode(),
    ],
)
def test_a_body_is_a_list_or_lines_or_an_object_of_events(body):
    """Whatever is easiest to send."""
    sent = [start(), start(span_id="d" * 16)]

    assert spans(body=body(sent)) == spans(*sent)


def test_one_event_alone_is_a_body():
    """The simplest curl."""
    assert spans(body=json.dumps(start()).encode()) == spans(start())


@pytest.mark.parametrize("body", [b"", b"x", b"7", b'"x"', b"null", b"[" * 100_000, b"x\ny\n", b'{"a":'])
def test_a_body_that_is_no_events_at_all_is_refused_whole(body):
    """It is a mistake of the sender's, not of one event."""
    with pytest.raises(MalformedBody):
        events.decode(body)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (7, "object"),
        (None, "null"),
        ({}, "type"),
        ({"type": "tool_begin", "trace_id": TRACE}, "tool_begin"),
        ({"type": "tool_start", "name": "x"}, "trace"),
        (start(trace_id=[1]), "list"),
        (start(span_id={"a": 1}), "object"),
        (start(span_id=True), "true or false"),
        (start(trace_id="", span_id=None), "neither"),
    ],
)
def test_a_bad_event_costs_itself_and_says_why(bad, word):
    """The good ones beside it are kept."""
    decoded = read(start(), bad, end())

    assert len(decoded.spans) == 1
    assert [each.index for each in decoded.rejected] == [1]
    assert decoded.rejected[0].error.startswith("events[1]: ")
    assert word in decoded.rejected[0].error


def test_a_bad_line_costs_itself():
    """Files are cut off, and logs are mixed."""
    decoded = read(body=b"\n".join([json.dumps(start()).encode(), b'{"type": "tool', json.dumps(end()).encode()]))

    assert len(decoded.spans) == 1
    assert [each.index for each in decoded.rejected] == [1]


def test_what_only_python_writes_as_json_is_read():
    """NaN, infinity and a lone surrogate; no store is asked to keep them."""
    (span,) = spans(
        body=b'[{"type":"tool_start","trace_id":"t","id":"\\ud800","name":"n\\ud800","ts":1795163400,"args":{"a":NaN}}]'
    )

    json.dumps(span.inputs).encode()
    assert span.inputs == {"a": "NaN"}
    span.name.encode()


def test_a_name_of_ten_kilobytes_is_cut_visibly():
    """It is somebody's prompt, most likely."""
    (span,) = spans(start(name="n" * 10_000))

    assert len(span.name) < 1_100
    assert span.problems


def test_an_end_without_a_name_is_named_by_its_start():
    """Ids are enough to know it by."""
    assert spans(start(), end(name=None))[0].name == "search"
    assert spans(end(name=None))[0].name == "(no name)"


def test_too_many_events_at_once_are_refused():
    """Each costs memory, however short it is."""
    with pytest.raises(MalformedBody, match="100000"):
        events.decode(b"[" + b"0," * events.MAX_EVENTS + b"0]")


def test_a_chain_of_old_events_as_long_as_a_body_takes_no_quadratic_time():
    """Each looks for its topmost ancestor."""
    sent = [
        {"type": "tool_start", "trace_id": f"{at}", "parent_trace_id": f"{at - 1}", "name": "n", "ts": NOW_NS}
        for at in range(10_000, 0, -1)
    ]
    began = time.process_time()
    decoded = read(*sent)

    assert len({span.trace_id for span in decoded.spans}) == 1
    assert time.process_time() - began < 10


def test_many_open_calls_of_one_name_take_no_quadratic_time():
    """Each end looks for its start."""
    sent = [{"type": "tool_start", "trace_id": "t", "name": "n", "ts": NOW_NS + at} for at in range(5_000)]
    sent += [
        {"type": "tool_end", "trace_id": "t", "name": "n", "ts": NOW_NS + 10**9 + at, "duration_ms": 1e3}
        for at in range(5_000)
    ]
    began = time.process_time()
    decoded = read(*sent)

    assert len(decoded.spans) == 5_000
    assert time.process_time() - began < 10


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
SOME_NAMES = ["type", "trace_id", "span_id", "id", "parent", "parent_trace_id", "name", "ts", "start", "end", "args"]
MORE_NAMES = ["success", "duration_ms", "error", "payload", "run", "session", "result", "event", "x"]
names = st.sampled_from([*SOME_NAMES, *MORE_NAMES])
kinds = st.sampled_from(["tool_start", "tool_end", "capability_start", "capability_end", "tool", "capability"])
few = st.sampled_from(["1", "2", 3, "a" * 32, "b" * 16])
sensible = st.fixed_dictionaries(
    {"type": kinds, "trace_id": few},
    optional={"id": few, "parent_id": few | st.none(), "name": few, "ts": st.integers(0, 5) | scalars, "run": few},
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(names, values, max_size=6) | sensible | values, max_size=8))
def test_no_events_make_it_fail_and_each_is_kept_or_told(sent):
    """Every event is in a span, or among the rejected."""
    body = json.dumps(sent).encode()
    decoded = events.decode(body, received_ns=NOW_NS).decoded

    assert len({each.index for each in decoded.rejected}) == len(decoded.rejected)
    assert bool(decoded.spans) is (len(decoded.rejected) < len(sent))
    assert decoded == events.decode(body, received_ns=NOW_NS).decoded
    for span in decoded.spans:
        assert (len(span.trace_id), len(span.span_id)) == (32, 16)
        assert span.end_ns is None or span.end_ns >= span.start_ns


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 5))
def test_the_order_and_the_cut_of_what_is_sent_change_nothing(order, cut):
    """With ids of their own, halves join the same whichever came first, and in whatever body."""
    sent = [
        json.dumps(each | {"span_id": f"{number}", "name": f"{number}", "parent_id": "0" if number else None}).encode()
        for number in range(3)
        for each in (start(args=number), end(result=number))
    ]
    shuffled = [sent[at] for at in order]
    kept: dict[str, Span] = {}
    for part in (shuffled[:cut], shuffled[cut:]):
        if part:
            for span in events.decode(b"\n".join(part), received_ns=NOW_NS).decoded.spans:
                keep(span, kept)

    whole = events.decode(b"\n".join(sent), received_ns=NOW_NS).decoded.spans
    assert {span.span_id: span for span in whole} == kept
