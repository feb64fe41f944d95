"""
The names that LangSmith's users know, on Clew's spans: change the import, keep the code.

    from clew.langsmith import get_current_run_tree, trace, traceable, tracing_context

Same call shapes as langsmith 0.14, one tree with Clew's own spans, and Clew's promises: nothing
here raises into user code, and arguments that are not known are logged once. What belongs to
LangSmith's service (clients, replicas, projects' addresses) is accepted and does nothing.
"""

from __future__ import annotations

from clew.sdk.run_context import get_tracing_context, set_run_metadata, trace, tracing_context
from clew.sdk.run_traceable import ensure_traceable, is_traceable_function, traceable
from clew.sdk.runs import RunTree
from clew.sdk.runs import current_run as get_current_run_tree

__all__ = [
    "RunTree",
    "ensure_traceable",
    "get_current_run_tree",
    "get_run_tree_context",
    "get_tracing_context",
    "is_traceable_function",
    "set_run_metadata",
    "trace",
    "traceable",
    "tracing_context",
]

get_run_tree_context = get_current_run_tree
