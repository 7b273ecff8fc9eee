"""The dashboard, ``llmgate tui``: everything an administrator does, in a terminal, over the admin API alone.

``app`` holds it together, ``feed`` is the one listener to the daemon's events, ``screens`` has a file for each noun,
and ``listing``, ``acting`` and ``forms`` are what those are declared with.
"""
