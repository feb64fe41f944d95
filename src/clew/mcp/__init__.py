"""
The questions that people ask of traces and of the graph, for agents: a read-only MCP server.

`build` makes it, `run_stdio` and `run_http` serve it; needs the extra `clew[mcp]`.
"""

from clew.mcp.ask import Asker, Question
from clew.mcp.server import build

__all__ = ["Asker", "Question", "build"]
