"""Programs as their users would write them, for the probes and for determinism: small, and often wrong on purpose."""
