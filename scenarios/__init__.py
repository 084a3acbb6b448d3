"""Components, each beside its broken twins, and the storms that tell them apart."""
