"""Settings that somebody else rebinds."""

tea = 1
milk = 1


def both() -> tuple[int, int]:
    """Tell them."""
    return tea, milk


def reset() -> None:
    """Put them back."""
    global tea, milk  # noqa: PLW0603 - so that it is known that they change
    tea = milk = 1
