# distutils: language = c++
"""llama.cpp as a whole: start, log, devices."""

from libc.stdint cimport int64_t, uint64_t
from libcpp cimport bool
from libcpp.string cimport string
from libcpp.vector cimport vector

from pyollama.native.errors cimport pyollama_raise_engine_error


cdef extern from "engine/backend.h" namespace "pyollama" nogil:
    cdef cppclass Device:
        string name
        string description
        string backend
        bool is_gpu
        uint64_t memory_free
        uint64_t memory_total

    void backend_init(const string & directory) except +pyollama_raise_engine_error
    void backend_enable_numa() except +pyollama_raise_engine_error
    vector[Device] backend_devices() except +pyollama_raise_engine_error
    string backend_system_info() except +pyollama_raise_engine_error


cdef extern from "engine/log.h" namespace "pyollama" nogil:
    void log_set_echo(bool on)
    string log_recent()


cdef extern from "engine/model.h" namespace "pyollama" nogil:
    int64_t live_models()


cdef extern from "engine/context.h" namespace "pyollama" nogil:
    int64_t live_contexts()


cdef extern from "engine/engine.h" namespace "pyollama" nogil:
    int64_t live_engines()


def init(str directory):
    """Start llama.cpp once per process. directory: where run-time loaded backends lie."""
    cdef string path = directory.encode()
    with nogil:
        backend_init(path)


def enable_numa():
    """Spread threads over NUMA nodes, for the whole process and for good."""
    backend_enable_numa()


def devices():
    """The devices that can compute, as a list of dicts; memory in bytes."""
    return [
        {
            "name": device.name.decode("utf-8", "replace"),
            "description": device.description.decode("utf-8", "replace"),
            "backend": device.backend.decode("utf-8", "replace"),
            "is_gpu": device.is_gpu,
            "memory_free": device.memory_free,
            "memory_total": device.memory_total,
        }
        for device in backend_devices()
    ]


def system_info():
    """llama.cpp's line about the features of the processor that are in use."""
    return backend_system_info().decode("utf-8", "replace")


def set_log_echo(bool on):
    """Whether llama.cpp's log goes to the standard error output too."""
    log_set_echo(on)


def recent_log():
    """The last lines of llama.cpp's log, at most 16 KiB."""
    return log_recent().decode("utf-8", "replace")


def live_handles():
    """Native objects that exist now, by kind; a test asserts that none is left."""
    return {"models": live_models(), "contexts": live_contexts(), "engines": live_engines()}
