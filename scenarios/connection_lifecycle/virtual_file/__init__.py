"""A file made of articles, whose close never waits for a download."""
