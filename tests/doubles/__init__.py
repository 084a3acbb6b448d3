"""Tests of the doubles: in virtual time, and a few with real threads and a real loop."""
