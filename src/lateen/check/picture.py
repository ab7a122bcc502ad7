"""The graph of services with the findings on it: as Mermaid, DOT, or an SVG that needs nothing else. Pure; for ``lateen graph``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from lateen.check import graph
from lateen.check.exposure import reachable, store
from lateen.check.finding import Finding, Severity
from lateen.check.world import World


@dataclass(frozen=True, slots=True)
class Box:
    """A workload. ``worst`` and ``notes`` are of the findings on it."""

    id: str
    name: str
    kind: str
    store: bool
    entry: bool
    worst: Severity | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """A call. ``bad``: a finding points at it."""

    source: str
    target: str
    bad: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to draw."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture(world: World, findings: Sequence[Finding]) -> Picture:
    """The serving workloads, the calls between them, and the findings on both."""
    by_object: dict[int, list[Finding]] = {}
    for f in findings:
        by_object.setdefault(id(f.manifest), []).append(f)
    names = {id(w): f"{w.namespace}/{w.kind}/{w.name}" for w in world.serving}
    boxes = []
    for w in world.serving:
        own = [f for m in (w.manifest, *world.fronts(w)) for f in by_object.get(id(m), ())]
        notes = tuple(f"{i}{f' x{n}' if n > 1 else ''}" for i, n in Counter(f.id for f in own).items())
        worst = max((f.severity for f in own), default=None)
        boxes.append(Box(names[id(w)], w.name, w.kind, bool(store(w)), reachable(world, w), worst, notes))
    bad = {(id(f.manifest), f.steps) for f in findings if f.id.startswith(("LT-CPL", "LT-NET-068"))}
    arrows = {
        (names[id(e.caller)], names[id(e.callee)]): (id(e.at), e.path) in bad
        for e in graph.edges(world)
        if id(e.caller) in names and id(e.callee) in names
    }
    return Picture(tuple(boxes), tuple(Arrow(s, t, b) for (s, t), b in arrows.items()))


_COLOURS = {Severity.ERROR: "#d33", Severity.WARNING: "#c80", Severity.INFO: "#888", None: "#3a7"}


def _ids(boxes: Iterable[Box]) -> dict[str, str]:
    return {b.id: f"n{i}" for i, b in enumerate(boxes)}


def mermaid(p: Picture) -> str:
    """A flowchart for Markdown."""
    ids = _ids(p.boxes)
    lines = ["flowchart LR"]
    for b in p.boxes:
        text = "<br/>".join((b.name, *b.notes))
        lines.append(f'  {ids[b.id]}[("{text}")]' if b.store else f'  {ids[b.id]}["{text}"]')
        lines.append(f"  style {ids[b.id]} stroke:{_COLOURS[b.worst]},stroke-width:{3 if b.entry else 2}px")
    lines += [f"  {ids[a.source]} {'==>' if a.bad else '-->'} {ids[a.target]}" for a in p.arrows]
    return "\n".join(lines) + "\n"


def dot(p: Picture) -> str:
    """For Graphviz."""
    ids = _ids(p.boxes)
    lines = ["digraph services {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for b in p.boxes:
        label = "\\n".join((b.name, *b.notes)).replace('"', "'")
        shape = ", shape=cylinder" if b.store else ""
        lines.append(f'  {ids[b.id]} [label="{label}", color="{_COLOURS[b.worst]}", penwidth={3 if b.entry else 2}{shape}];')
    lines += [f"  {ids[a.source]} -> {ids[a.target]}{' [color=red, penwidth=2]' if a.bad else ''};" for a in p.arrows]
    return "\n".join([*lines, "}"]) + "\n"


_HEAD = (
    '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#666"/></marker></defs>'
)
_WIDE, _HIGH, _GAP_X, _GAP_Y = 190, 46, 80, 26


def layers(p: Picture) -> dict[str, int]:
    """The column of each box: one right of its rightmost caller; circles are cut where they close."""
    callers: dict[str, list[str]] = {b.id: [] for b in p.boxes}
    for a in p.arrows:
        callers[a.target].append(a.source)
    found: dict[str, int] = {}

    def column(box: str, above: frozenset[str]) -> int:
        if box not in found:
            value = max((column(c, above | {box}) + 1 for c in callers[box] if c not in above | {box}), default=0)
            if above & set(callers[box]):
                return value
            found[box] = value
        return found[box]

    return {b.id: column(b.id, frozenset()) for b in p.boxes}


def svg(p: Picture) -> str:
    """Boxes in columns from callers to callees, with their findings as text; titles tell more on hovering."""
    columns = layers(p)
    rows: Counter[int] = Counter()
    place: dict[str, tuple[int, int]] = {}
    for b in sorted(p.boxes, key=lambda b: (columns[b.id], not b.entry, b.name)):
        x, y = columns[b.id], rows[columns[b.id]]
        rows[x] += 1
        place[b.id] = (20 + x * (_WIDE + _GAP_X), 20 + y * (_HIGH + _GAP_Y))
    width = 40 + (max(columns.values(), default=0) + 1) * (_WIDE + _GAP_X) - _GAP_X
    height = 40 + max(rows.values(), default=1) * (_HIGH + _GAP_Y) - _GAP_Y
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        _HEAD,
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *(_arrow(a, place) for a in p.arrows),
        *(_box(b, place[b.id]) for b in p.boxes),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrow(a: Arrow, place: dict[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = place[a.source], place[a.target]
    back = x2 <= x1
    start, end = (x1 + (0 if back else _WIDE), y1 + _HIGH // 2), (x2 + (_WIDE if back else 0), y2 + _HIGH // 2)
    bend = 60 if not back else -60
    colour, wide = ("#d33", 2) if a.bad else ("#666", 1)
    curve = f"M{start[0]} {start[1]} C{start[0] + bend} {start[1]} {end[0] - bend} {end[1]} {end[0]} {end[1]}"
    return f'<path d="{curve}" fill="none" stroke="{colour}" stroke-width="{wide}" marker-end="url(#end)"/>'


def _box(b: Box, at: tuple[int, int]) -> str:
    x, y = at
    notes = ", ".join(b.notes)
    told = notes or "no findings"
    short = notes if len(notes) <= 30 else f"{notes[:28]}…"
    radius, colour, centre = 22 if b.store else 6, _COLOURS[b.worst], x + _WIDE // 2
    frame = f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="{radius}" fill="#fafafa" stroke="{colour}"'
    name = f'<text x="{centre}" y="{y + (20 if notes else 28)}" text-anchor="middle" font-weight="600">{escape(b.name[:26])}</text>'
    note = f'<text x="{centre}" y="{y + 37}" text-anchor="middle" font-size="10" fill="{colour}">{escape(short)}</text>'
    title = f"<title>{escape(f'{b.kind} {b.name}: {told}')}</title>"
    return f'<g>{title}{frame} stroke-width="{3 if b.entry else 1.5}"/>{name}{note}</g>'
