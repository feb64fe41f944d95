"""The plugin by its other name, for `pytest -p clew.testing.pytest_plugin`; pytest itself finds `_clew_pytest`."""

from __future__ import annotations

from _clew_pytest import clew_spans

__all__ = ["clew_spans"]
