"""What else went wrong round readers and imports: rows of the table of history, and one design."""
