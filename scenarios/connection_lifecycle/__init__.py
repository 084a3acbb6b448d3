"""Readers that prefetch and files that close at once: the life of a connection to a store.

`scope` is the cancellation that every part shares; each part is a folder of its own. What a part
costs on the wire, and for how long it may hold a connection, is what its storms promise.
"""
