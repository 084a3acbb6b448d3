"""Events in streams: a reader for whoever looks on, and sinks that share the work."""
