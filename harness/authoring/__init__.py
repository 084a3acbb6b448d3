"""What somebody begins with who writes a component: a folder that passes, to put one's own into."""
