"""One process for each loaded model: so a crash of native code touches only the requests of that model.

`Runner` starts such a process and talks to it; `pyollama.runner.worker` is what runs in it. They exchange the
messages of `pyollama.runner.messages` over a socket pair. Importing this package loads no native code.
"""

from pyollama.runner.messages import Done, Generate, Load, Loaded, Piece
from pyollama.runner.reply import Reply
from pyollama.runner.runner import Runner

__all__ = ["Done", "Generate", "Load", "Loaded", "Piece", "Reply", "Runner"]
