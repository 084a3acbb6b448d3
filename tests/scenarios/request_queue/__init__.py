"""Tests of the request queue, outside its storms: over real HTTP, and where no time passes."""
