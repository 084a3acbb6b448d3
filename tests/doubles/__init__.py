"""Tests of the doubles: in the simulated world with exact times, and a few with real threads and a real loop."""
