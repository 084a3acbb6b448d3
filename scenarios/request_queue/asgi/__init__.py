"""The request queue as ASGI middleware, for one event loop."""
