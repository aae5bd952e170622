"""What can be wrong with a network that was made elsewhere."""


class ForeignError(Exception):
    """A file made elsewhere is no network that can be used here; the message says what to do."""


class MissingRuntime(ForeignError):
    """ONNX Runtime, or what reads and writes ONNX, is not installed."""

    def __init__(self, module: str) -> None:
        super().__init__(
            f"{module} is not installed, which networks in ONNX need; "
            "`pip install 'autochrome[onnx]'` brings it"
        )
