"""Programs as their users would write them: small, and often wrong on purpose."""
