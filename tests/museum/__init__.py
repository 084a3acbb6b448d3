"""Small programs with a known bug, each beside a twin that is right."""
