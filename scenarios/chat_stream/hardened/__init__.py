"""Subscriptions without the hole that a failed query or a lost notification leaves."""
