# Of csrc/bindings/pyollama/native/thread_governor.pyx.

class ThreadGovernor:
    def __init__(self, n_threads: int) -> None: ...
    def observe(
        self,
        *,
        microseconds: float,
        n_tokens: int = 1,
        preemptions: int = 0,
        prompt: bool = False,
        crowded: bool = False,
        n_processors: int = 64,
    ) -> None: ...
    @property
    def threads(self) -> int: ...
