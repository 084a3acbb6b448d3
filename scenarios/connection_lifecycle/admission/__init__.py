"""Imports beside streams: who may fetch, how many at once, and over which pool."""
