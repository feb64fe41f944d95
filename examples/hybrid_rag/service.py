"""
The service: two routes, and the two lines that trace all of it.

    POST /api/v1/query      {"question", "strategy": "auto|dense|keyword|hybrid", "language", "stream"}
    POST /api/v1/feedback   {"trace_id", "rating": 1 to 5, "comment"}

Both want a bearer token (`users.py` has three). With `"stream": true` the answer comes as
server-sent events: `token` {"text"} for each piece, then one `done` with all that the plain answer
has; `error` {"message"} instead of `done` if it broke off.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from openai import OpenAIError
from pydantic import BaseModel, Field

import clew
from clew.asgi import TracingMiddleware

from .load import load
from .rag import Answer, Rag
from .users import USERS_BY_TOKEN

log = logging.getLogger("hybrid_rag")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models before the first question is taken."""
    app.state.rag = await asyncio.to_thread(load)
    yield
    # Clew does this at exit, but uvicorn ends by the signal that it got, and so without an exit.
    await asyncio.to_thread(clew.shutdown)


clew.configure(service="hybrid-rag")  # where to? CLEW_ENDPOINT, or a Clew server on this machine
app = FastAPI(title="Hybrid RAG", lifespan=lifespan)
app.add_middleware(TracingMiddleware)


class Question(BaseModel):
    question: str = Field(min_length=1, max_length=2000)
    strategy: Literal["auto", "dense", "keyword", "hybrid"] = "auto"
    language: str = Field("auto", pattern="^(auto|[a-z]{2})$")
    stream: bool = False
    session_id: str | None = None


class Feedback(BaseModel):
    trace_id: str = Field(pattern="^[0-9a-f]{32}$")
    rating: int = Field(ge=1, le=5)
    comment: str = Field("", max_length=2000)


def user_of(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    user = USERS_BY_TOKEN.get(credentials.credentials)
    if user is None:
        raise HTTPException(401, "unknown token; users.py lists those that are known")
    return user


User = Annotated[str, Depends(user_of)]


@app.post("/api/v1/query", response_model=None)
async def query(asked: Question, user: User) -> StreamingResponse | dict[str, Any]:
    """Answer a question, at once or token by token."""
    request = clew.current_span()
    request.set(user_id=user, session_id=asked.session_id or user)
    answering = answer(asked, user, request)
    if asked.stream:
        return StreamingResponse(server_sent(answering, request), media_type="text/event-stream")
    done: dict[str, Any] = {}
    try:
        async for _event, body in answering:
            done = body
    except OpenAIError as error:
        raise HTTPException(502, f"the language model did not answer: {error}") from error
    return done


@app.post("/api/v1/feedback", status_code=204)
async def feedback(given: Feedback, user: User) -> None:
    """Score an answer; 1 or 2 of 5 flags its trace USER_NEGATIVE."""
    clew.current_span().set(user_id=user)
    clew.score("rating", given.rating, best=5, trace_id=given.trace_id, comment=given.comment)


async def answer(asked: Question, user: str, request: clew.span) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Give (event, body): `token` for each piece, then `done`."""
    rag: Rag = app.state.rag
    async for item in rag.chat_generation(asked.question, user=user, strategy=asked.strategy, language=asked.language):
        if isinstance(item, str):
            yield "token", {"text": item}
        else:
            request.set(strategy=item.features.strategy, confidence=item.context.confidence)
            log.info("answered %s with confidence %.2f", user, item.context.confidence)
            yield "done", body_of(item, request.trace_id)
            await rag.remember(user, asked.question, item.context)


async def server_sent(events: AsyncIterator[tuple[str, dict[str, Any]]], request: clew.span) -> AsyncIterator[str]:
    """Write events as text/event-stream; an error becomes the last event, since the status has been sent."""
    try:
        async for event, body in events:
            yield f"event: {event}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n"
    except OpenAIError as error:
        request.fail(f"the language model broke off: {error}")
        yield f"event: error\ndata: {json.dumps({'message': str(error)})}\n\n"


def body_of(answer: Answer, trace_id: str) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "trace_id": trace_id,
        "confidence": answer.context.confidence,
        "strategy": answer.features.strategy,
        "language": answer.features.language,
        "sources": [
            {"id": hit.passage.id, "title": hit.passage.title, "relevance": round(hit.relevance, 3)}
            for hit in answer.context.sources
        ],
        "notes": answer.context.notes,
    }
