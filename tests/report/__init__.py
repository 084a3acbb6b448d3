"""Tests of what a failure is told as."""
