"""Tests of harness.authoring: what somebody begins with."""
