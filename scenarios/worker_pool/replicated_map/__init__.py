"""A replicated map: one hash in a shared store, and a copy of it in every process that joined."""
