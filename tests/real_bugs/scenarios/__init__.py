"""One generic scenario per case; each imports its library, so only its own environment has both."""
