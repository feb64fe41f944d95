"""What leaves the process: no secret, whichever way it came in, and what is no secret unharmed."""

from __future__ import annotations

import base64
import dataclasses
from collections import UserDict, deque
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clew
from clew.langsmith import traceable
from clew.model import Link
from clew.sdk import packing
from clew.sdk.outbox import outbox
from clew.sdk.packing import pack
from clew.sdk.processing import processing_from
from clew.sdk.span import ActiveSpan
from clew.wire.native import NativeSpan

KEY = "sk-proj-Ab12Cd34Ef56Gh78Ij90"
MAIL = "jane.doe@example.com"
CARD = "4111 1111 1111 1111"
WORD = "hunter2-plain-word"
"""Known only by the name that it stands under."""
PLANTED = (KEY, MAIL, CARD, WORD, "Ab12Cd34", "jane.doe", "1111 1111")


class Account(msgspec.Struct):
    password: str = WORD
    keys: list[str] = []
    mail: str = MAIL


@dataclasses.dataclass
class Profile:
    api_key: str = WORD
    note: str = f"call {MAIL}"


class Plain:
    def __repr__(self) -> str:
        return f"Plain(password='{WORD}', key={KEY})"


class Broken:
    def __repr__(self) -> str:
        raise ValueError(f"no {KEY}")


def cycle() -> Any:
    looped: dict[str, Any] = {KEY: 1, "password": WORD}
    looped["me"] = looped
    return looped


def pydantic_user() -> Any:
    pydantic = pytest.importorskip("pydantic")
    made = pydantic.create_model("User", password=(str, WORD), mail=(str, MAIL))
    return made()


HIDDEN = {
    "a text": lambda: f"my key is {KEY}",
    "a nested list": lambda: [[[[KEY]], (MAIL,)], {"a": [{"b": CARD}]}],
    "a name": lambda: {"deep": [{"db": {"password": WORD}}]},
    "a key of a dict": lambda: {KEY: "x", "a": {MAIL: 1}},
    "a tuple as a key": lambda: {(KEY, 1): "x"},
    "a URL": lambda: f"postgres://jane:{WORD}@db.test/shop?api_key={WORD}",
    "headers": lambda: {"headers": {"Authorization": f"Bearer {WORD}", "X-Api-Key": WORD, "Cookie": f"s={WORD}"}},
    "headers as pairs": lambda: [("authorization", WORD), (b"authorization", WORD.encode())],
    "a Struct": lambda: Account(keys=[KEY]),
    "a dataclass": lambda: {"profile": Profile()},
    "a pydantic model": pydantic_user,
    "a mapping of its own": lambda: UserDict(password=WORD),
    "a deque and a set": lambda: [deque([KEY]), {MAIL}],
    "an object": Plain,
    "an object that cannot be read": lambda: [Broken(), KEY],
    "bytes": lambda: [KEY.encode(), bytearray(MAIL.encode()), memoryview(KEY.encode())],
    "bytes in a Struct": lambda: msgspec.defstruct("Blob", [("data", bytes)])(KEY.encode()),
    "a cycle": cycle,
    "broken text": lambda: f"\ud800 {KEY}",
    "a huge int beside it": lambda: [1 << 200, KEY],
    "a text that is cut": lambda: "\ud800" + "x" * ((1 << 20) - 11) + " " + KEY + " " + "y" * 5_000,
    "many texts that are left out": lambda: [MAIL] * 20_000,
    "JSON in a text": lambda: msgspec.json.encode({"password": WORD, "keys": [KEY]}).decode(),
    "a log line": lambda: f'POST /login password={WORD} by {MAIL} "Authorization: Basic {"aA1" + WORD}"',
}


@pytest.fixture
def redacted(captured):
    outbox.processing = processing_from(True, (), (), "")
    return captured


def sent(captured: Any) -> bytes:
    assert clew.flush(timeout=10)
    return b"".join(msgspec.msgpack.encode(body) for body in captured.bodies)


def assert_clean(captured: Any) -> None:
    body = sent(captured)
    assert body
    found = [secret for secret in PLANTED if secret.encode() in body]
    encoded = [secret for secret in PLANTED if base64.b64encode(secret.encode())[:-4] in body]
    assert (found, encoded) == ([], [])


@pytest.mark.parametrize("what", HIDDEN)
@pytest.mark.parametrize("where", ["inputs", "outputs", "attribute", "event", "argument"])
def test_no_secret_leaves_in_a_payload(redacted, what, where):
    value = HIDDEN[what]()
    if where == "argument":

        @clew.traced
        def function(given: Any, *more: Any, **rest: Any) -> None: ...

        function(value, value, named=value)
    else:
        with clew.span("ask") as span:
            if where == "inputs":
                span.inputs = value
            elif where == "outputs":
                span.outputs = value
            elif where == "attribute":
                span.set(given=value)
            else:
                span.event("happened", given=value)

    assert_clean(redacted)
    assert b"redacted" in sent(redacted) or b"bytes>" in sent(redacted) or "left out" in what or "is cut" in what


def test_no_secret_leaves_in_an_exception_its_causes_or_its_stack_trace(redacted):
    def connect(api_key: str) -> None:
        raise ConnectionError(f"postgres://jane:{WORD}@db.test refused {MAIL}")

    def ask() -> None:
        try:
            connect(api_key="sk-proj-Ab12Cd34Ef56Gh78Ij90")
        except ConnectionError as error:
            raise RuntimeError(f"no answer for {KEY}") from error

    with pytest.raises(RuntimeError), clew.span("ask"):
        ask()

    assert_clean(redacted)
    assert redacted["ask"].status_message == "no answer for [redacted: key]"
    assert 'connect(api_key="[redacted: ' in redacted["ask"].events[0].attributes["exception.stacktrace"]


def test_no_secret_leaves_in_names_and_kinds_and_remarks(redacted):
    with clew.span(f"tool for {MAIL}", kind=f"{KEY}") as span:  # type: ignore[arg-type]
        span.event(f"mail to {MAIL}")
        span.set_attributes({f"user.{MAIL}": 1, "password": WORD})
        span.fail(f"no {KEY}")
        span.inputs = {f"{MAIL}": "\ud800"}
    with clew.span("x" * 990 + KEY):
        pass

    assert_clean(redacted)
    assert redacted["tool for [redacted: mail address]"].kind == "other"


def test_no_secret_leaves_in_the_remarks_on_what_was_mended(redacted):
    """They name the place, and a place may be named by a secret."""
    with clew.span("ask", inputs={CARD: [1 << 63], KEY: ["\ud800"], f"to {MAIL}": [1 << 63]}):
        pass

    assert_clean(redacted)
    assert len(redacted["ask"].problems) == 3


def test_no_secret_leaves_in_a_handled_exception_or_a_generator_or_a_run(redacted):
    with clew.span("ask") as span:
        span.record_exception(ValueError(f"bad {KEY}"))

    @clew.traced(kind="generation")
    def stream():
        yield "mail to "
        yield MAIL

    @traceable(run_type="llm", metadata={"password": WORD}, tags=[MAIL])
    def run(prompt):
        return {"messages": [{"content": KEY}]}

    list(stream())
    run(f"who is {MAIL}")

    assert_clean(redacted)


def test_a_secret_that_comes_in_two_pieces_of_a_stream_is_found_in_the_whole(redacted):
    @clew.traced(kind="generation")
    def stream():
        yield "key sk-proj-Ab12"
        yield "Cd34Ef56Gh78Ij90"

    list(stream())

    assert redacted["stream"].outputs == "key [redacted: key]"


@pytest.mark.parametrize("secret", [MAIL, CARD, KEY])
def test_half_a_secret_is_not_left_where_a_long_text_is_cut(redacted, secret):
    """Of half of one nobody knows what it is, so it is looked for before the cut."""
    with clew.span("ask", inputs="\ud800" + " " * ((1 << 20) - 8) + secret + " " * 5_000):
        pass

    assert redacted["ask"].inputs.partition("…")[0].strip(" ?") == "[redact"


def test_no_secret_leaves_in_the_attributes_of_a_link():
    native = NativeSpan(
        trace_id="0" * 31 + "1",
        span_id="0" * 15 + "1",
        name="ask",
        start_ns=1,
        links=[Link(trace_id="0" * 31 + "2", span_id="0" * 15 + "2", attributes={"password": WORD, "of": MAIL})],
    )
    PROCESSING.apply(native)

    assert native.links[0].attributes == {"password": "[redacted: password]", "of": "[redacted: mail address]"}


def test_what_the_user_holds_stays_as_it_was(redacted):
    mine = {"password": WORD, "list": [KEY, {"mail": MAIL}]}
    with clew.span("ask", inputs=mine):
        pass

    assert_clean(redacted)
    assert mine == {"password": WORD, "list": [KEY, {"mail": MAIL}]}


def test_a_span_without_secrets_is_sent_as_without_redaction(redacted):
    """Every byte of it: ids, numbers and texts are the users' own."""
    with clew.span("ask", kind="generation", inputs={"question": "who?", "ids": [1, 2]}, input_tokens=5) as span:
        span.outputs = ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0.25, None]
        span.event("retry", after_s=1)
        assert span._extra is not None
        _, with_it = pack(span, outbox.processing)
        _, without = pack(span)

    assert with_it == without


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(values, st.sampled_from([KEY, MAIL, CARD]), st.data())
def test_a_secret_planted_anywhere_is_never_sent(value, secret, data):
    """Whatever stands around it."""

    def planted(inner: Any) -> Any:
        if isinstance(inner, list) and inner and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(inner) - 1))
            return [*inner[:at], planted(inner[at]), *inner[at + 1 :]]
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(inner)))
            return {**inner, name: planted(inner[name])}
        if isinstance(inner, str):
            return f"{inner} {secret} {inner}"
        return [inner, secret] if data.draw(st.booleans()) else {secret: inner}

    native, packed = pack(_ended(planted(value)), PROCESSING)

    assert secret.encode() not in packed
    assert native.inputs is not None


@settings(max_examples=150, deadline=None)
@given(values)
def test_whatever_the_payload_the_span_is_packed(value):
    native, packed = pack(_ended(value), PROCESSING)

    assert msgspec.msgpack.decode(packed)["span_id"] == native.span_id


PROCESSING = processing_from(True, ["ssn"], [], "")


def _ended(inputs: Any) -> ActiveSpan:
    before, outbox.settled, outbox.recording = (outbox.settled, outbox.recording), True, True
    try:
        span = ActiveSpan("ask", inputs=inputs)
    finally:
        outbox.settled, outbox.recording = before
    span._end = span._start + 1
    return span


def test_where_redaction_itself_fails_the_payload_is_not_sent(redacted, monkeypatch):
    def failing(*_: Any) -> Any:
        raise RuntimeError("redaction is broken")

    monkeypatch.setattr(outbox.processing.redactor, "_prescan", failing)
    with clew.span(f"ask {MAIL}", inputs=KEY) as span:
        span.fail(MAIL)

    assert_clean(redacted)
    span = redacted.spans[0]
    assert (span.name, span.inputs, span.status) == ("", None, "error")
    assert span.problems == ["attributes, inputs and outputs could not be sent"]


def test_a_payload_that_is_too_large_as_it_is_may_be_hashed_or_left_out(captured, monkeypatch):
    monkeypatch.setattr(packing, "MAX_SPAN_BYTES", 10_000)
    for capture in ("none", "hash", "truncate:100"):
        outbox.processing = processing_from(True, (), (), capture)
        with clew.span(capture, inputs="word " * 5_000):
            pass
        assert clew.flush(timeout=5)

    assert captured["none"].inputs is None
    assert captured["hash"].inputs["bytes"] == 25_002
    assert captured["truncate:100"].inputs == "word " * 20 + "… [cut: 25000 characters]"


# Calls.


def test_a_bound_method_keeps_all_of_its_arguments(captured):
    """`clew.traced(obj.method)`: its object is not among a call's arguments."""

    class Search:
        def find(self, question, top_k=3, *more, strict=False):
            return question

        @classmethod
        def make(cls, size=1):
            return cls

        def odd(this, question):  # noqa: N805
            return question

    service = Search()
    clew.traced("find")(service.find)("who", 5, "x", strict=True)
    clew.traced("make")(Search.make)(2)
    clew.traced("odd")(service.odd)("who")

    assert captured["find"].inputs == {"question": "who", "top_k": 5, "strict": True, "more": ["x"]}
    assert captured["make"].inputs == {"size": 2}
    assert captured["odd"].inputs == {"question": "who"}


def test_the_defaults_of_a_bound_method_are_its_own(captured):
    def run(self=None, size=1): ...

    bound = SimpleNamespace()
    bound.run = run.__get__(object())
    clew.traced("run")(bound.run)()

    assert captured["run"].inputs == {"size": 1}


class HostileKey:
    """Its second look-up raises."""

    armed = False

    def __hash__(self) -> int:
        if HostileKey.armed:
            raise RuntimeError("no look-up")
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other


def test_a_long_dict_with_hostile_keys_costs_no_span(captured):
    """None of the keys' code runs on the caller's thread."""
    mine: Any = {HostileKey(): 0, **{str(index): index for index in range(10_001)}}
    HostileKey.armed = True
    try:
        with clew.span("ask", inputs=mine):
            pass
        span = captured["ask"]
    finally:
        HostileKey.armed = False

    assert "inputs was cut from 10002 to 10000 items" in span.problems
