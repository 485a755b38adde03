"""The public names of skmmal: what the reference lists, and what a name in a docstring or on a page leads to."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from typing import Any

import skmmal

__all__ = ["PublicName", "module_names", "own_members", "public_names", "resolve"]


@dataclass(frozen=True)
class PublicName:
    """One public name of a module.

    Parameters
    ----------
    module : str
        The module whose page has it.
    name : str
    thing : object
    """

    module: str
    name: str
    thing: Any

    @property
    def full_name(self) -> str:
        """Module and name."""
        return f"{self.module}.{self.name}"

    @property
    def docstring(self) -> str:
        """Its docstring; a constant has none."""
        is_documented = inspect.isclass(self.thing) or inspect.isroutine(self.thing)
        return (inspect.getdoc(self.thing) or "") if is_documented else ""

    @property
    def is_constant(self) -> bool:
        """Whether it is neither a class nor a function."""
        return not (inspect.isclass(self.thing) or inspect.isroutine(self.thing))


@functools.cache
def module_names() -> tuple[str, ...]:
    """Names of all public modules, skmmal's own first; the command line has a page of another kind."""
    found = [
        info.name
        for info in pkgutil.walk_packages(skmmal.__path__, "skmmal.")
        if not any(part.startswith("_") or part == "cli" for part in info.name.split(".")[1:])
    ]
    return ("skmmal", *sorted(found))


@functools.cache
def public_names() -> tuple[PublicName, ...]:
    """Every public name once: in the room it lives in, the outermost where several export it."""
    homes: dict[Any, PublicName] = {}
    for module_name in sorted(module_names(), key=lambda name: (name == "skmmal", name.count("."), name)):
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if inspect.ismodule(thing) or name.startswith("__"):
                continue
            public = PublicName(module_name, name, thing)
            key = (module_name, name) if public.is_constant else id(thing)
            homes.setdefault(key, public)
    return tuple(sorted(homes.values(), key=lambda public: (public.module, public.name)))


def own_members(full_name: str) -> list[str]:
    """Public methods and properties of a class that skmmal defines, inherited ones among them."""
    module, _, name = full_name.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    return [attribute for attribute in dir(cls) if not attribute.startswith("_") and _is_ours(cls, attribute)]


def _is_ours(cls: type, attribute: str) -> bool:
    owner = next((base for base in inspect.getmro(cls) if attribute in vars(base)), None)
    if owner is None or not owner.__module__.startswith("skmmal."):
        return False
    value = vars(owner)[attribute]
    is_verb = isinstance(value, (property, functools.cached_property, classmethod, staticmethod))
    return (is_verb or inspect.isfunction(value)) and bool(inspect.getdoc(getattr(cls, attribute)))


def resolve(target: str) -> str | None:
    """Full name under which the reference has what a text calls `target`, or None.

    Names of the top level and of other modules that export the same thing lead to its page. A bare name does where it
    is a class's, or a function's of several words: one word may mean anything.
    """
    target = target.removesuffix("()")
    path = target.split(".")
    for public in public_names():
        if target == public.full_name:
            return target
        if len(path) == 1 and target == public.name and (inspect.isclass(public.thing) or "_" in target):
            return public.full_name
        if len(path) == 2 and path[0] == public.name and inspect.isclass(public.thing):
            return f"{public.full_name}.{path[1]}" if path[1] in own_members(public.full_name) else public.full_name
    return _through_modules(path)


def _through_modules(path: list[str]) -> str | None:
    if path[0] != "skmmal":
        return None
    thing: Any = skmmal
    for n, part in enumerate(path[1:], 2):
        thing = getattr(thing, part, None)
        for public in public_names():
            if thing is not None and thing is public.thing:
                rest = ".".join(path[n:])
                return f"{public.full_name}.{rest}" if rest in own_members_of(public) else public.full_name
    return None


def own_members_of(public: PublicName) -> list[str]:
    """Of a class; a function has none."""
    return own_members(public.full_name) if inspect.isclass(public.thing) else []


def _link(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    if node.get("refdomain") != "py":
        return None
    found = resolve(node["reftarget"])
    if found is None or found == node["reftarget"]:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, contnode)


def setup(app: Any) -> dict[str, bool]:
    """Lead names to their pages."""
    app.connect("missing-reference", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
