"""What is wrong with a frame that would not come back as it was."""

__all__ = ["Unfit"]


class Unfit(Exception):  # noqa: N818  it never leaves: another serializer is asked, or it becomes a SerializationError
    """Raised while planning how to write a frame.

    Args:
        path: Where inside the value: `.columns[3]`, `.index`.
        why: What cannot be kept.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path
