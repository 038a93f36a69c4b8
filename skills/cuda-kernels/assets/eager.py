"""What the kernel must beat, and the reference it is held to: the formula as users write it."""


def scale(x, factor):
    return factor * x
