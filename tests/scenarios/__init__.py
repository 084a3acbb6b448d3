"""Tests of what the scenarios are about, outside their storms."""
