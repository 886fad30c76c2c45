"""Draw in SVG: shapes as text, and round numbers for axes."""

import math
from collections.abc import Sequence
from html import escape


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    """Return the text `words` at (x, y); `style` is a CSS class."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{_class(style)}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_class(style)}/>'


def dot(x: float, y: float, hint: str, style: str, radius: float = 3.5) -> str:
    """Return a circle that shows `hint` under the mouse pointer."""
    position = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
    return f"<circle {position}{_class(style)}><title>{escape(hint)}</title></circle>"


def pointer(x: float, y: float, left: bool, hint: str, style: str) -> str:
    """Return a triangle at the edge of a plot, which stands for a value beyond that edge."""
    tip, back = (x - 4, x + 3) if left else (x + 4, x - 3)
    points = f"{tip:.1f},{y:.1f} {back:.1f},{y - 4:.1f} {back:.1f},{y + 4:.1f}"
    return f'<polygon points="{points}"{_class(style)}><title>{escape(hint)}</title></polygon>'


def bar(x: float, y: float, width: float, height: float, style: str) -> str:
    """Return a filled rectangle."""
    size = f'width="{max(width, 0.5):.1f}" height="{height:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size}{_class(style)}/>'


def picture(width: float, height: float, shapes: Sequence[str], label: str) -> str:
    """Return a drawing of `shapes`, scaled to the width of the page; screen readers read `label`."""
    inner = "\n".join(shapes)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(label, quote=True)}">\n{inner}\n</svg>'
    )


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return round numbers from `low` to `high`, at most about `most`.

    >>> ticks(-7, 12, 5)
    [-5.0, 0.0, 5.0, 10.0]
    """
    span = max(high - low, 1e-9)
    rough = span / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def _class(style: str) -> str:
    return f' class="{escape(style, quote=True)}"' if style else ""
