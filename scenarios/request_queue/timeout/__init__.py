"""A handler with a time limit: what it writes too late is dropped, and a retry page is sent."""
