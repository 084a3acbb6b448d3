"""What else went wrong round the stream: rows L1 to L12, line by line, of its table of history."""
