"""Settings of the server and the command line: addresses, durations, and what the environment says."""

from pyollama.settings.address import ServerAddress
from pyollama.settings.duration import format_duration, parse_duration
from pyollama.settings.keep_alive import read_keep_alive
from pyollama.settings.settings import Settings

__all__ = ["ServerAddress", "Settings", "format_duration", "parse_duration", "read_keep_alive"]
