"""What NovaPulse counts of itself, for Prometheus: `definitions` names it, `sheet` keeps it, `render` tells it."""
