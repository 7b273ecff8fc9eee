"""The live stream of events: what happens in this daemon and in all others, for whoever follows it."""
