"""Which models are loaded: one load for many who wait, keep-alive, eviction, back-pressure.

`Scheduler.lease` gives a loaded model to a request for as long as that runs.
"""

from pyollama.scheduler.files import ModelFiles
from pyollama.scheduler.loaded_model import Lease, LoadedModel
from pyollama.scheduler.scheduler import Scheduler

__all__ = ["Lease", "LoadedModel", "ModelFiles", "Scheduler"]
