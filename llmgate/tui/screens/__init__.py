"""A file for each section of the dashboard."""

from __future__ import annotations

from llmgate.tui.screens.users import UsersSection
from llmgate.tui.section import Section

SECTIONS: tuple[type[Section], ...] = (UsersSection,)
