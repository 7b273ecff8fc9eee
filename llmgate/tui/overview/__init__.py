"""What the first screen shows, decided without a terminal: panes are functions of what is known."""
