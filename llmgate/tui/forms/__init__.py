"""What a form asks for, what was typed, and the command that would do the same."""

from llmgate.tui.forms.fields import Field, Fill, Form, Kind

__all__ = ["Field", "Fill", "Form", "Kind"]
