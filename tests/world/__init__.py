"""Tests of harness.world: unmodified code inside a run."""
