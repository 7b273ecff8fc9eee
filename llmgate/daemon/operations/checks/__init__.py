"""The doctor's checks: one module per concern. A check returns findings, and changes nothing."""
