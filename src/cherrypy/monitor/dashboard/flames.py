"""Flame graphs: the stacks of a profile as SVG. Each box is a link that shows it alone, larger."""

from __future__ import annotations

import zlib
from typing import Any

from .markup import Markup, tag

WIDTH, ROW = 1200, 18
LETTER = 6.3  # of width, on the average
NARROWEST = 0.6
MOST_BOXES = 3000
DEEPEST = 80

#: Folders of the framework: their names stand before those of files.
_FRAMEWORK = frozenset(
    (
        "alerts",
        "books",
        "cherrypy",
        "dashboard",
        "dispatch",
        "exporters",
        "framework",
        "history",
        "hosting",
        "house",
        "instruments",
        "lib",
        "monitor",
        "process",
        "processes",
        "sse",
        "table",
        "websocket",
    )
)

Node = dict[str, Any]


def flame(tree: Node, focus: tuple[int, ...], to: str) -> tuple[Markup, str]:
    """Return the drawing of a tree of `profiles.tree_of`, and the name of what it shows.

    focus
        Which child to begin with, and which one of its: places in the order of the names.
    to
        The address of this page, to which `focus` is added.
    """
    node, path = tree, []
    above: list[tuple[str, tuple[int, ...]]] = [("all", ())]
    for place in focus:
        children = ordered(node)
        if place >= len(children):
            break
        node = children[place]
        path.append(place)
        above.append((node["name"], tuple(path)))
    drawing = _Drawing(max(1, node["count"]), tree["count"], to)
    for depth, (name, where) in enumerate(above[:-1]):
        drawing.box(name, 0.0, WIDTH, depth, where, "under", f"{name}: back to here")
    drawing.walk(node, 0.0, len(above) - 1, tuple(path))
    height = ROW * (drawing.deepest + 1) + 2
    picture = tag(
        "svg",
        *drawing.boxes,
        viewBox=f"0 0 {WIDTH} {height}",
        class_="flame",
        role="group",
        aria_label=f"Flame graph of {node['name']}",
    )
    return picture, node["name"]


def ordered(node: Node) -> list[Node]:
    """The children of a node, by name."""
    return [node["children"][name] for name in sorted(node["children"])]


class _Drawing:
    def __init__(self, whole: int, every: int, to: str) -> None:
        self.scale = WIDTH / whole
        self.every = max(1, every)
        self.to = to
        self.boxes: list[Markup] = []
        self.deepest = 0

    def walk(self, node: Node, left: float, depth: int, path: tuple[int, ...]) -> None:
        """Draw a node and what it called."""
        width = node["count"] * self.scale
        if width < NARROWEST or len(self.boxes) >= MOST_BOXES or depth > DEEPEST:
            return
        share = 100 * node["count"] / self.every
        words = f"{node['name']}: {share:.1f} % ({node['count']} samples, {node['own']} of its own)"
        self.box(node["name"], left, width, depth, path, tone(node["name"]), words)
        for place, child in enumerate(ordered(node)):
            self.walk(child, left, depth + 1, (*path, place))
            left += child["count"] * self.scale

    def box(
        self,
        name: str,
        left: float,
        width: float,
        depth: int,
        path: tuple[int, ...],
        kind: str,
        words: str,
    ) -> None:
        """Draw one box."""
        self.deepest = max(self.deepest, depth)
        room = int((width - 6) / LETTER)
        text = name if len(name) <= room else name[: room - 1] + "…" if room > 3 else ""
        focus = ".".join(map(str, path))
        parts = [
            tag("title", words),
            tag(
                "rect",
                x=round(left, 2),
                y=depth * ROW + 1,
                width=round(max(0.5, width - 0.7), 2),
                height=ROW - 1,
                rx=2,
                class_=f"flame-{kind}",
            ),
        ]
        if text:
            parts.append(tag("text", text, x=round(left + 4, 2), y=depth * ROW + 13))
        self.boxes.append(tag("a", *parts, href=f"{self.to}&focus={focus}"))


def tone(name: str) -> str:
    """Whose code it is: the server's, the framework's, the language's, or the application's."""
    place = name.rpartition("(")[2]
    folder = place.partition("/")[0]
    if folder in ("server", "wire", "http", "http1", "kirsch"):
        return "server"
    if folder in _FRAMEWORK:
        return "framework"
    if folder.startswith(("python3", "json", "sqlite3", "email", "importlib", "concurrent")):
        return "language"
    return f"app{zlib.crc32(folder.encode()) % 3}"
