"""Campaigns: scenarios cut into shards that any number of workers run, with one result."""
