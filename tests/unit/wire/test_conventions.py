"""What foreign attributes mean. Each convention has its example; the table decides who wins."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.model import KINDS, Event, Span
from clew.wire import conventions
from clew.wire.conventions import TABLE, derive

START_NS = 1_763_700_000_000_000_000


def derived(attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    given_fields = {"trace_id": "ab" * 16, "span_id": "cd" * 8, "name": "n", "start_ns": START_NS}
    span = Span(**given_fields, attributes=attributes or {}, **fields)
    derive(span)
    return span


def expect(span: Span, **fields: Any) -> None:
    assert {field: getattr(span, field) for field in fields} == fields


def test_openinference() -> None:
    span = derived(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-5-mini",
            "llm.token_count.prompt": 412,
            "llm.token_count.completion": 21,
            "llm.token_count.total": 433,
            "llm.cost.total": 0.01,
            "session.id": "s",
            "user.id": "u",
            "llm.input_messages.1.message.content": "When?",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Be brief.",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "At nine.",
        }
    )

    expect(span, kind="generation", model="gpt-5-mini", input_tokens=412, output_tokens=21, cost_usd=0.01)
    expect(span, session_id="s", user_id="u", input_preview="When?", output_preview="At nine.", response_chars=8)
    assert span.inputs == [{"role": "system", "content": "Be brief."}, {"content": "When?", "role": "user"}]


def test_openinferences_messages_of_several_parts() -> None:
    """Pictures and texts beside each other: the texts are the content."""
    prefix = "llm.output_messages.0.message.contents"
    span = derived(
        {
            "openinference.span.kind": "LLM",
            f"{prefix}.0.message_content.type": "text",
            f"{prefix}.0.message_content.text": "See",
            f"{prefix}.1.message_content.text": "here",
        }
    )

    assert span.output_preview == "See here"


def test_openinferences_retrieved_documents() -> None:
    documents = {
        "retrieval.documents.0.document.id": "d-7",
        "retrieval.documents.0.document.score": 0.9,
        "retrieval.documents.10.document.id": "d-2",
        "retrieval.documents.2.document.id": "d-5",
    }
    span = derived({"openinference.span.kind": "RETRIEVER", "input.value": "q", **documents})

    expect(span, kind="retrieval", inputs="q", response_chars=None, input_preview=None)
    assert span.outputs == [{"id": "d-7", "score": 0.9}, {"id": "d-5"}, {"id": "d-2"}]


def test_openinferences_embedded_texts_without_their_vectors() -> None:
    """A thousand numbers are nothing to read; the attributes keep them."""
    prefix = "embedding.embeddings.0.embedding"
    span = derived({"openinference.span.kind": "EMBEDDING", f"{prefix}.text": "t", f"{prefix}.vector": [0.1] * 384})

    expect(span, kind="embedding", inputs=[{"text": "t"}])


def test_gen_ai_in_its_newer_names() -> None:
    span = derived(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "claude-haiku",
            "gen_ai.response.model": "claude-haiku-4-5",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cost": 0.5,
            "gen_ai.conversation.id": "c",
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
            "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Hello!"}]}]',
        }
    )

    expect(span, kind="generation", model="claude-haiku-4-5", input_tokens=10, output_tokens=5, cost_usd=0.5)
    expect(span, session_id="c", first_token_ms=250.0, input_preview="Hi", output_preview="Hello!", response_chars=6)


def test_gen_ai_in_its_older_names() -> None:
    span = derived(
        {
            "gen_ai.operation.name": "text_completion",
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.usage.completion_tokens": 5,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Hi",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Hello!",
        }
    )

    expect(span, kind="generation", input_tokens=10, output_tokens=5, input_preview="Hi", output_preview="Hello!")


def test_gen_ai_in_events() -> None:
    """Once each message was an event; later one event held them all."""
    older = [
        Event(name="gen_ai.user.message", at_ns=START_NS, attributes={"content": "Hi"}),
        Event(name="gen_ai.choice", at_ns=START_NS, attributes={"message": '{"content":"Hello!"}', "index": 0}),
    ]
    newer = [
        Event(
            name="gen_ai.client.inference.operation.details",
            at_ns=START_NS,
            attributes={
                "gen_ai.input.messages": [{"role": "user", "content": "Hi"}],
                "gen_ai.output.messages": [{"role": "assistant", "content": "Hello!"}],
            },
        )
    ]
    for events in older, newer:
        span = derived({"gen_ai.operation.name": "chat"}, events=events)
        expect(span, kind="generation", input_preview="Hi", output_preview="Hello!")


def test_a_gen_ai_tool() -> None:
    span = derived(
        {"gen_ai.tool.name": "weather", "gen_ai.tool.call.arguments": '{"city":"X"}', "gen_ai.tool.call.result": "sun"}
    )

    expect(span, kind="tool", inputs={"city": "X"}, outputs="sun")


def test_langfuse() -> None:
    span = derived(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-5",
            "langfuse.observation.usage_details": '{"input": 10, "output": 5, "total": 15}',
            "langfuse.observation.cost_details": '{"input": 0.1, "total": 0.3}',
            "langfuse.observation.input": '[{"role": "user", "content": "Hi"}]',
            "langfuse.observation.output": "Hello!",
            "langfuse.observation.completion_start_time": '"2025-11-21T04:40:01.250000Z"',
            "langfuse.user.id": "u",
            "langfuse.session.id": "s",
        }
    )

    expect(span, kind="generation", model="gpt-5", input_tokens=10, output_tokens=5, cost_usd=0.3)
    expect(span, user_id="u", session_id="s", input_preview="Hi", output_preview="Hello!", first_token_ms=1250.0)


def test_traceloop() -> None:
    span = derived(
        {
            "traceloop.span.kind": "workflow",
            "traceloop.entity.input": '{"inputs": {}}',
            "traceloop.entity.output": '"done"',
            "traceloop.association.properties.user_id": "u",
            "traceloop.association.properties.session_id": "s",
        }
    )

    expect(span, kind="chain", inputs={"inputs": {}}, outputs="done", user_id="u", session_id="s")
    expect(derived({"llm.request.type": "chat"}), kind="generation")


def test_mlflow() -> None:
    """Each of its attributes is JSON, so texts stand in quotes."""
    span = derived(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt-5"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}',
            "mlflow.llm.cost": '{"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}',
            "mlflow.spanInputs": '{"question": "Hi"}',
            "mlflow.spanOutputs": '{"answer": "Hello!"}',
        }
    )

    expect(span, kind="generation", model="gpt-5", input_tokens=10, output_tokens=5, cost_usd=0.3)
    expect(span, input_preview="Hi", output_preview="Hello!", response_chars=6)


def test_clews_own_plain_names() -> None:
    """What `clew.span(name, kind=..., model=...)` writes."""
    span = derived(
        {
            "model": "smollm2",
            "strategy": "hybrid",
            "confidence": 0.31,
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "cost_usd": 0,
            "user_id": 17,
            "session_id": "s",
            "first_token_ms": 80,
        },
        kind="generation",
        outputs="Hello!",
    )

    expect(span, model="smollm2", strategy="hybrid", confidence=0.31, input_tokens=10, output_tokens=5, cost_usd=0.0)
    expect(span, user_id="17", session_id="s", first_token_ms=80.0, response_chars=6)


@pytest.mark.parametrize("kind", KINDS)
def test_otlp_can_say_every_kind(kind: str) -> None:
    """Foreign conventions know neither classification nor capability."""
    expect(derived({"clew.kind": kind, "openinference.span.kind": "LLM"}), kind=kind)


def _example(key: str) -> Any:
    examples = {
        "langfuse.observation.usage_details": {"input": 1, "output": 1},
        "mlflow.chat.tokenUsage": {"input_tokens": 1, "output_tokens": 1},
    }
    examples |= {"langfuse.observation.cost_details": {"total": 1}, "mlflow.llm.cost": {"total_cost": 1}}
    examples |= {"langfuse.observation.completion_start_time": "2025-11-21T04:40:01Z"}
    kinds = {rule.key for rule in TABLE if rule.field == "kind"}
    return examples.get(
        key, "tool" if key in kinds - {"llm.request.type", "gen_ai.operation.name"} else "chat" if key in kinds else 1
    )


plain_rules = [rule for rule in TABLE if not rule.key.endswith(".") and not rule.key.startswith("@")]


@pytest.mark.parametrize("rule", plain_rules, ids=lambda rule: f"{rule.field}-{rule.key}")
def test_every_line_of_the_table_can_win(rule: conventions.Rule) -> None:
    """A line that never wins is a line that lies."""
    missing = "other" if rule.field == "kind" else None

    assert getattr(derived({rule.key: _example(rule.key)}), rule.field) != missing


@settings(max_examples=60, deadline=None)
@given(st.randoms())
def test_the_first_match_wins_in_whatever_order_the_attributes_come(random: Any) -> None:
    """Attributes have no order, and two conventions may stand on one span."""
    for field in ("model", "input_tokens", "user_id", "session_id"):
        rules = [rule for rule in plain_rules if rule.field == field and not rule.gathers and "sage" not in rule.key]
        chosen = random.sample(rules, random.randint(1, len(rules)))
        attributes = {rule.key: TABLE.index(rule) for rule in chosen}
        best = min(attributes.values())
        assert str(getattr(derived(attributes), field)) == str(best)


def test_what_says_nothing_lets_the_next_speak() -> None:
    """An unknown kind or a text where a number belongs is no match."""
    span = derived(
        {
            "openinference.span.kind": "UNKNOWN",
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": "many",
            "llm.token_count.prompt": 7,
            "gen_ai.response.model": "",
            "gen_ai.request.model": "m",
        }
    )

    expect(span, kind="generation", input_tokens=7, model="m")


@pytest.mark.parametrize("value", [-1, True, "x", None, [], {}, 2**60, "1e999", 1.5e300])
def test_tokens_that_cannot_be_are_not_counted(value: Any) -> None:
    """They are summed over a week: one bad number would spoil all."""
    expect(derived({"input_tokens": value}), input_tokens=None)


@pytest.mark.parametrize("value", [-0.1, 1.1, 82, True, "high", None])
def test_a_confidence_outside_0_to_1_is_none(value: Any) -> None:
    """It flags traces, so a percentage must not pass for certainty."""
    expect(derived({"confidence": value}), confidence=None)


def test_attributes_are_kept_as_they_came() -> None:
    """Meaning is derived beside them, and can be derived again."""
    attributes = {"gen_ai.input.messages": '[{"role":"user","content":"Hi"}]', "input_tokens": "12"}
    span = derived(dict(attributes))

    assert span.attributes == attributes
    assert span.input_tokens == 12


def test_what_the_client_said_itself_is_kept() -> None:
    """Inputs, outputs and a kind; the rest is derived."""
    span = derived(
        {"openinference.span.kind": "LLM", "input.value": "no", "output.value": "no"},
        kind="chain",
        inputs="yes",
        outputs="yes",
    )

    expect(span, kind="chain", inputs="yes", outputs="yes")


def test_deriving_again_forgets_what_was_derived_before() -> None:
    """When the table has moved, or an attribute is gone."""
    span = derived({"model": "m", "user_id": "u", "openinference.span.kind": "LLM", "output.value": "text"})
    span.attributes = {"session_id": "s"}
    derive(span)

    expect(span, model=None, user_id=None, session_id="s", output_preview="text")


def test_first_tokens_are_seen_in_events() -> None:
    """LangSmith's streamed tokens; the first one counts."""
    events = [Event(name="new_token", at_ns=START_NS + ms * 10**6) for ms in (120, 80, 300)]

    expect(derived(events=events, kind="generation"), first_token_ms=80.0)


def test_json_in_attributes_is_cleaned_when_it_is_opened() -> None:
    """Its text was clean; what it spells need not be."""
    span = derived(
        {"openinference.span.kind": "LLM", "output.value": '{"a": "x\\u0000", "n": 123456789012345678901234567890}'}
    )

    assert span.outputs == {"a": "x\ufffd", "n": "123456789012345678901234567890"}


@pytest.mark.parametrize("value", ['{"a": ', "[" * 100_000, '{"a"}', "[1,2", '"', "{" * 5])
def test_text_that_only_looks_like_json_stays_text(value: str) -> None:
    expect(
        derived({"openinference.span.kind": "LLM", "output.value": value}),
        outputs=value,
        response_chars=len(value.strip()),
    )


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
known_keys = st.sampled_from([rule.key + ("0.message.content" if rule.key.endswith(".") else "") for rule in TABLE])


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(known_keys | st.text(max_size=20), anything, max_size=8), st.sampled_from(KINDS), anything, anything
)
def test_nothing_in_attributes_makes_it_raise(attributes: dict[str, Any], kind: Any, inputs: Any, outputs: Any) -> None:
    """Whatever stands under a known key, of whatever type."""
    events = [
        Event(name=key.lstrip("@"), at_ns=START_NS, attributes=attributes) for key in attributes if key.startswith("@")
    ]
    span = derived(attributes, kind=kind, inputs=inputs, outputs=outputs, events=events)

    assert span.input_preview is None or (len(span.input_preview) <= 160 and "\n" not in span.input_preview)
    assert span.output_preview is None or (len(span.output_preview) <= 160 and "\n" not in span.output_preview)


def test_what_is_remembered_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that makes up new keys for each span costs time, and no memory without end."""
    monkeypatch.setattr(conventions, "_MAX_PLANS", 20)
    monkeypatch.setattr(conventions, "_plans", {})
    for number in range(100):
        derived({f"key-{number}": 1, "model": "m"})
    derived({f"key-{number}": 1 for number in range(1_000)})

    assert 0 < len(conventions._plans) <= 20


def test_the_table_is_written_in_one_place_and_without_doubles() -> None:
    keys = [(rule.field, rule.key) for rule in TABLE]

    assert len(keys) == len(set(keys))
    assert all(re.fullmatch(r"@?[\w.]+", key) for _, key in keys)
