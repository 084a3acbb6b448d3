"""Published bugs: found in the old release, silent on the new one; see `make real-bugs`."""
