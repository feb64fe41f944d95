"""The arguments of a traced call: kept as they came, given their names on the writer's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clew.sdk.kept import Cut, kept

_MUTABLE = (list, dict)


class Parameters:
    """What a function calls its arguments. One for each traced function."""

    __slots__ = ("defaults", "names", "skip", "spread")

    def __init__(self, function: Callable[..., Any]) -> None:
        code = getattr(function, "__code__", None)
        self.names: tuple[str, ...] = code.co_varnames[: code.co_argcount] if code else ()
        if getattr(function, "__func__", None) is not None:
            # A bound method: its object is not among a call's arguments, whatever the signature calls it.
            self.names, self.skip = self.names[1:], 0
        else:
            # A method's own object is no input, and may be anything.
            self.skip = 1 if self.names[:1] in (("self",), ("cls",)) else 0
        defaults = getattr(function, "__defaults__", None) or ()
        defaults = defaults[-len(self.names) :] if self.names else ()
        self.defaults: dict[str, Any] = dict(zip(self.names[len(self.names) - len(defaults) :], defaults, strict=True))
        self.defaults.update(getattr(function, "__kwdefaults__", None) or {})
        has_spread = code is not None and code.co_flags & 0x04
        self.spread = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code and has_spread else "args"


class Call:
    """One call's arguments, waiting to be named."""

    __slots__ = ("args", "kwargs", "parameters")

    def __init__(self, parameters: Parameters, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.parameters = parameters
        self.args: Any = args[parameters.skip :] if parameters.skip else args
        self.kwargs = kwargs
        # An argument that the function goes on appending to should show what was passed.
        for arg in args:
            if type(arg) in _MUTABLE:
                self.args = [kept(arg) for arg in self.args]
                break
        if kwargs:
            self.kwargs = {name: kept(arg) for name, arg in kwargs.items()}

    def bound(self, problems: list[str]) -> dict[str, Any]:
        """The arguments by name, in the order of the signature, defaults filled in."""
        parameters = self.parameters
        names = parameters.names[parameters.skip :]
        inputs: dict[str, Any] = dict(zip(names, self.args, strict=False))
        for name in (*names[len(self.args) :], *parameters.defaults):
            if name not in inputs and name in self.kwargs:
                inputs[name] = self.kwargs[name]
            elif name not in inputs and name in parameters.defaults:
                inputs[name] = parameters.defaults[name]
        if len(self.args) > len(names):
            inputs[parameters.spread] = list(self.args[len(names) :])
        inputs.update(self.kwargs)
        for name, value in inputs.items():
            if isinstance(value, Cut):
                inputs[name] = value.told(f"inputs.{name}", problems)
        return inputs
