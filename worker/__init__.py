"""The processes that work: Taskiq on Redis streams, made crash-safe. Only `launch` imports them."""
