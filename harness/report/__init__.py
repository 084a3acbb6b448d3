"""Turns what came of runs into words: reads results, runs nothing."""
