"""What the screens show, sampled once for everybody."""
