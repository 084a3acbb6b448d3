"""Keeps the storms of the museum out of the tests: its rarest bugs take thousands of schedules."""

from __future__ import annotations

collect_ignore = ["storms.py"]
