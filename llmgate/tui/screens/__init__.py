"""A file for each section of the dashboard."""

from __future__ import annotations

from llmgate.tui.screens.activity import ActivitySection
from llmgate.tui.screens.dashboard import DashboardSection
from llmgate.tui.screens.keys import KeysSection
from llmgate.tui.screens.queue import QueueSection
from llmgate.tui.screens.settings import SettingsSection
from llmgate.tui.screens.system import SystemSection
from llmgate.tui.screens.tokens import TokensSection
from llmgate.tui.screens.upstreams import UpstreamsSection
from llmgate.tui.screens.usage import UsageSection
from llmgate.tui.screens.users import UsersSection
from llmgate.tui.screens.whitelist import WhitelistSection
from llmgate.tui.section import Section

SECTIONS: tuple[type[Section], ...] = (
    DashboardSection,
    QueueSection,
    UsersSection,
    TokensSection,
    KeysSection,
    WhitelistSection,
    UpstreamsSection,
    UsageSection,
    ActivitySection,
    SystemSection,
    SettingsSection,
)
