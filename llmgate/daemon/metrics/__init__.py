"""What Prometheus scrapes. Labels come from closed sets only: no names that a client can invent."""
