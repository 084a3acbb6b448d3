"""Tests of the connection lifecycle, with real threads where no time passes."""
