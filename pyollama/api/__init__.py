"""What the HTTP API does, free of any web framework.

`Service` has one method for each route: it reads the body, does the work and gives structs, which the server turns
into JSON. `http_error` says which status and text an exception becomes.
"""

from pyollama.api.errors import ApiError, http_error
from pyollama.api.service import Answer, Service

__all__ = ["Answer", "ApiError", "Service", "http_error"]
