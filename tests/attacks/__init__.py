"""Attacks on a running gateway. Each comes to nothing, and succeeds when the control that stops it is taken away."""
