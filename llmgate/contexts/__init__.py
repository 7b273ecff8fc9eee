"""The daemons that are known on this machine, and who one is there: what the command line and the dashboard share."""
