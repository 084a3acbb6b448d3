"""A pool of workers on several nodes, over one shared store: maps, streams, and the pool itself.

`replicated_map` is what every node knows of the others, `streams` carries jobs and answers, `pool`
dispatches jobs and cleans up after the dead.
"""
