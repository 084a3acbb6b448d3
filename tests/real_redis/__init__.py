"""The double of a store beside a real Redis server: `make real-redis`."""
