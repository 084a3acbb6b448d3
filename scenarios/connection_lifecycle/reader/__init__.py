"""A streaming reader that downloads a bounded window ahead of its consumer and retries once."""
