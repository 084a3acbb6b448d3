"""The chat stream."""
