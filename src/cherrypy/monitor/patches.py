"""Patches: what the monitor puts in the place of other rooms' functions, and takes back.

Law: nobody else changes a class of another room; what somebody has replaced since stays as it is.
"""

from __future__ import annotations

from typing import Any

_NOTHING = object()


class Patches:
    """Replaced attributes, until `end`."""

    def __init__(self) -> None:
        # Owner, name, what its own dictionary had, and what is there now.
        self.undo: list[tuple[Any, str, Any, Any]] = []

    def replace(self, owner: Any, name: str, new: Any) -> Any:
        """Put `new` in the place of an attribute of a class, a module or an object.

        Returns what was found there, by inheritance too. Raises AttributeError when there is none.
        """
        found = getattr(owner, name)
        own = vars(owner).get(name, _NOTHING)
        plain = getattr(found, "__func__", found) if isinstance(owner, type) else found
        for key, value in getattr(plain, "__dict__", {}).items():
            # Such as the priority of a listener or a hook.
            if key not in ("__wrapped__", "__isabstractmethod__"):
                new.__dict__.setdefault(key, value)
        if hasattr(new, "__dict__"):
            new.__wrapped__ = plain
            new.__name__ = getattr(plain, "__name__", name)
            new.__qualname__ = getattr(plain, "__qualname__", name)
            new.__doc__ = getattr(plain, "__doc__", None)
        setattr(owner, name, new)
        self.undo.append((owner, name, own, new))
        return found

    def put(self, owner: Any, name: str, new: Any) -> None:
        """The same for what is no function: nothing of it is copied."""
        own = vars(owner).get(name, _NOTHING)
        setattr(owner, name, new)
        self.undo.append((owner, name, own, new))

    def item(self, mapping: dict[Any, Any], key: Any, new: Any) -> Any:
        """Replace a value in a dictionary; return the one before."""
        before = mapping[key]
        mapping[key] = new
        self.undo.append((mapping, key, before, new))
        return before

    def uppermost(self) -> bool:
        """Whether nobody has replaced any of it since."""
        return all(
            (owner.get(name) if type(owner) is dict else vars(owner).get(name)) is new
            for owner, name, _, new in self.undo
        )

    def end(self) -> None:
        """Put everything back that nobody has replaced since."""
        while self.undo:
            owner, name, before, new = self.undo.pop()
            if type(owner) is dict:
                if owner.get(name) is new:
                    owner[name] = before
            elif vars(owner).get(name) is new:
                if before is _NOTHING:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)
