"""The questions that people ask of traces and of the graph, for agents: a read-only MCP server."""
