"""
The traced program: `python -m bench.sdk.workload SUBJECT URL REQUESTS`, one line of JSON.

One subject in a process of its own, so that no SDK's threads or patches disturb another's
figures. A request is 8 spans: root, classification, embedding, retrieval with three retrievers
gathered, generation with a 4 KB prompt and a 2 KB answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.sdk.subjects import SUBJECTS, Untraced

PROMPT = "Prompt words. " * 293
ANSWER = "Answer. " * 256
QUESTION = "how do I reset my password?"

SPANS_PER_REQUEST = 8
REQUESTS_PER_S = 250
WARM_UP = 200
BATCHES, BATCH_SPANS = 50, 50
EIGHT = {
    "user.id": "u-123456",
    "session.id": "s-98765",
    "model": "gpt-4o-mini",
    "route": "faq",
    "tokens.in": 812,
    "tokens.out": 154,
    "score": 0.8731,
    "text": "Some text. " * 93,
}
"""Eight attributes, one of them a text of 1 KB."""
DRAIN_S = 2.0
"""For every subject's exporter to work off what came flat out, before single spans are looked at."""


async def request(sdk: Untraced) -> None:
    """Answer one question, eight spans long. The work itself is nothing but giving way."""
    asked = {"user.id": "u-123456", "session.id": "s-98765", "input": QUESTION}
    with sdk.span("rag.request", asked) as root:
        with sdk.span("classification", {"model": "small", "labels": "faq,order,other"}) as span:
            await asyncio.sleep(0)
            sdk.add(span, {"label": "faq", "confidence": 0.97})
        with sdk.span("embedding", {"model": "embed-3", "dimensions": 1536}) as span:
            await asyncio.sleep(0)
            sdk.add(span, {"tokens": 9})
        with sdk.span("retrieval", {"strategy": "hybrid", "top_k": 15}) as span:
            await asyncio.gather(*(retriever(sdk, number) for number in range(3)))
            sdk.add(span, {"hits": 15})
        asked_model = {"model": "gpt-4o-mini", "temperature": 0.2, "max_tokens": 512, "prompt": PROMPT}
        with sdk.span("generation", asked_model) as span:
            await asyncio.sleep(0)
            said = {"completion": ANSWER, "tokens.in": 812, "tokens.out": 154, "finish_reason": "stop"}
            sdk.add(span, said)
        sdk.add(root, {"output": ANSWER[:200], "status": "ok"})


async def retriever(sdk: Untraced, number: int) -> None:
    """One of the three that run side by side."""
    with sdk.span(f"retriever.{number}", {"index": f"idx{number}", "top_k": 5, "query": QUESTION}) as span:
        await asyncio.sleep(0)
        sdk.add(span, {"hits": 5, "best_score": 0.83, "doc.ids": "d1,d2,d3,d4,d5"})


async def timed(sdk: Untraced) -> float:
    """Microseconds that one request took."""
    start_ns = time.perf_counter_ns()
    await request(sdk)
    return (time.perf_counter_ns() - start_ns) / 1e3


async def paced(sdk: Untraced, requests: int) -> list[float]:
    """Send *requests* at 250 a second: a busy service that keeps up, and an exporter at work beside it."""
    took_us = []
    due = time.perf_counter()
    for _ in range(requests):
        due += 1 / REQUESTS_PER_S
        early_s = due - time.perf_counter()
        if early_s > 0:
            await asyncio.sleep(early_s)
        took_us.append(await timed(sdk))
    return took_us


def single_spans_us(sdk: Untraced) -> dict[str, float]:
    """
    The median cost of one span of each sort, under a root, in batches with rests between them.

    The sorts take turns, so that a noisy moment falls on all alike.
    """
    sorts = _sorts(sdk)
    took_us: dict[str, list[float]] = {name: [] for name in sorts}
    for _ in range(BATCHES):
        for name, batch in sorts.items():
            with sdk.span("root"):
                start_ns = time.perf_counter_ns()
                batch()
                took_us[name].append((time.perf_counter_ns() - start_ns) / 1e3 / BATCH_SPANS)
            time.sleep(0.01)  # Lets the exporter keep up: its backlog is another measurement.
    return {name: median(each[BATCHES // 5 :]) for name, each in took_us.items()}


def _sorts(sdk: Untraced) -> dict[str, Callable[[], None]]:
    """What makes a batch of spans of each sort."""
    loop = asyncio.new_event_loop()

    @sdk.decorated
    def function() -> None:
        pass

    @sdk.decorated
    async def coroutine() -> None:
        pass

    def empty() -> None:
        for _ in range(BATCH_SPANS):
            with sdk.span("empty"):
                pass

    def eight() -> None:
        for _ in range(BATCH_SPANS):
            with sdk.span("attributes", EIGHT):
                pass

    def functions() -> None:
        for _ in range(BATCH_SPANS):
            function()

    async def coroutines() -> None:
        for _ in range(BATCH_SPANS):
            await coroutine()

    return {
        "empty_us": empty,
        "function_us": functions,
        "coroutine_us": lambda: loop.run_until_complete(coroutines()),
        "eight_us": eight,
    }


async def measure(sdk: Untraced, requests: int) -> dict[str, Any]:
    """Warm up, then paced requests, then as fast as it goes."""
    for _ in range(WARM_UP):
        await request(sdk)
    await asyncio.sleep(0.5)
    cpu_s = time.process_time()
    paced_us = await paced(sdk, requests)
    cpu_us = (time.process_time() - cpu_s) / requests * 1e6
    flat_out_us = [await timed(sdk) for _ in range(requests)]
    return {"paced_us": paced_us, "flat_out_us": flat_out_us, "cpu_us": cpu_us}


def main(subject: str, url: str, requests: int) -> None:
    """Run one subject and print what was measured, and how many spans should have arrived."""
    sdk = SUBJECTS[subject](url)
    result = asyncio.run(measure(sdk, requests))
    time.sleep(DRAIN_S)
    single_us = single_spans_us(sdk)
    result.update(single_us)
    sdk.close()
    result["made"] = (WARM_UP + 2 * requests) * SPANS_PER_REQUEST + len(single_us) * BATCHES * (1 + BATCH_SPANS)
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
