"""Tests of harness.core: pure, without a thread, a loop or a clock."""
