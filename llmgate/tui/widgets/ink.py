"""The colour of a part of a widget that draws its own lines."""

from __future__ import annotations

from rich.style import Style
from textual.widget import Widget


def ink(widget: Widget, component: str) -> Style:
    """How the text of a component class looks, without a background.

    Textual's ``partial`` styles do not know the background, on which ``auto`` colours such as $text-muted depend: they
    come out white, also on white.
    """
    full = widget.get_component_rich_style(component)
    return Style(
        color=full.color,
        bold=full.bold,
        dim=full.dim,
        italic=full.italic,
        underline=full.underline,
        reverse=full.reverse,
    )
