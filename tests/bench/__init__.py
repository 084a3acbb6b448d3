"""Benchmarks: schedules a second, microseconds a decision, memory; ratios in one run, never a verdict."""
