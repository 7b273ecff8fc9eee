"""What stands before a screen until it is answered."""

from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.dialogs.facts import Facts
from llmgate.tui.dialogs.filling import Filling
from llmgate.tui.dialogs.secret import Secret

__all__ = ["Confirm", "Dialog", "Facts", "Filling", "Secret"]
