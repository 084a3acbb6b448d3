"""Speed tests of providers that share clients: one dial and one test for all who ask at once."""
