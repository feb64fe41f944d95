"""What the traces of the demo teach: questions to their graph, as anybody would put them."""

from __future__ import annotations

import os
import subprocess
import sys

from rich.console import Console
from rich.text import Text

from examples.hybrid_rag.demo.clients import Clew
from examples.hybrid_rag.demo.processes import DemoError

QUESTIONS = (
    ("What is in the graph?", ("show",)),
    (
        "What comes after the classification of a question?",
        ("suggest", "classification", "--within", "chat_generation", "--k", "2"),
    ),
    ("Which way leads from the classification to the answer?", ("path", "classification", "ChatOpenAI", "--k", "1")),
    (
        "What has to wait for what?",
        ("plan", "ChatOpenAI", "embedding", "VectorStoreRetriever_documents", "VectorStoreRetriever_user_messages"),
    ),
    ("What is like the retriever of documents?", ("similar", "VectorStoreRetriever_documents", "--k", "2")),
    ("In which ways does retrieval run?", ("variants", "get_rag_context")),
)
TIMEOUT_S = 60


def ask(console: Console, clew: Clew, traces: int) -> None:
    """
    Wait until the demo's traces are learned, then ask.

    Raises:
        DemoError: they never are, or a question fails.
    """
    if not clew.learned_when_settled(traces):
        raise DemoError("the traces were not learned in time; clew.log beside the store may say why")
    console.print(Text("\n  What these traces teach", "bold"))
    for what, command in QUESTIONS:
        console.print(Text(f"\n  {what}", "bright_black"))
        console.print(Text(f"  $ clew graph {' '.join(command)}", "cyan"))
        for line in _answer(console, clew, command).splitlines():
            console.print(Text(f"    {line}" if line else ""), soft_wrap=True)


def _answer(console: Console, clew: Clew, command: tuple[str, ...]) -> str:
    environment = {
        **os.environ,
        "CLEW_URL": clew.url,
        "CLEW_API_KEY": clew.key,
        "COLUMNS": str(max(60, console.width - 4)),
        "PYTHONUTF8": "1",
    }
    done = subprocess.run(  # noqa: S603  (our own command line)
        [sys.executable, "-m", "clew.cli", "graph", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"`clew graph {' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout.rstrip()
