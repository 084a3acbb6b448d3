"""An in-memory stream of events whose receivers park instead of spinning."""
