"""The two themes of the dashboard; Textual's own can be chosen as well, two of them with the terminal's own colours."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="llmgate-dark",
    primary="#4C9AFF",
    secondary="#7A8FA6",
    accent="#E3B341",
    foreground="#D5DCE4",
    background="#0F1419",
    surface="#171D24",
    panel="#1F2730",
    success="#5BBF7B",
    warning="#E3A03B",
    error="#F0706A",
    dark=True,
)
LIGHT = Theme(
    name="llmgate-light",
    primary="#0B5FC0",
    secondary="#5A6B7D",
    accent="#8A5A00",
    foreground="#1B2430",
    background="#FBFBFA",
    surface="#F1F2F3",
    panel="#E4E7EA",
    success="#1B7A3D",
    warning="#9A5B00",
    error="#B3261E",
    dark=False,
)
THEMES = (DARK, LIGHT)
