"""The request queue as WSGI middleware, for many threads."""
