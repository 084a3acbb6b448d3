"""What the queue was before: versions that were really shipped, against the storms of today."""
