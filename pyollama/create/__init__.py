"""From a create request to a model in the store.

`CreateRequest` says what is wanted; `create_model` makes it and reports what it does as `Progress`.
"""

from pyollama.create.creation import Progress, create_model
from pyollama.create.request import CreateRequest

__all__ = ["CreateRequest", "Progress", "create_model"]
