"""A live subscription to a chat: cache, notifications and the loop that merges them."""
