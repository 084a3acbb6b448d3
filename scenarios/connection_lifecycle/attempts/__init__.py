"""What one article may cost: two attempts, and the pause between them."""
