"""The processes that work: Taskiq on Redis streams, made crash-safe. Imports services, nothing imports it but `launch`."""
