# distutils: language = c++
"""Bytes of tokens to text: whole UTF-8 characters, stop strings cut."""

from libcpp cimport bool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from pyollama.native.errors cimport pyollama_raise_engine_error


cdef extern from "engine/text_stream.h" namespace "pyollama" nogil:
    cdef cppclass CppTextStream "pyollama::TextStream":
        CppTextStream(vector[string] stops) except +pyollama_raise_engine_error
        string push(const string & bytes) except +pyollama_raise_engine_error
        string finish() except +pyollama_raise_engine_error
        bool stopped() noexcept
        const string & stop() noexcept


cdef class TextStream:
    """What a client may see of the bytes that were generated so far.

    >>> stream = TextStream(["END"])
    >>> stream.push("one EN".encode()), stream.push(b"D two")
    ('one ', '')
    """

    cdef unique_ptr[CppTextStream] handle

    def __init__(self, stops=()):
        cdef vector[string] texts
        for stop in stops:
            texts.push_back(stop.encode())
        self.handle.reset(new CppTextStream(texts))

    def push(self, bytes data):
        return self.handle.get().push(data).decode()

    def finish(self):
        return self.handle.get().finish().decode()

    @property
    def stopped(self):
        return self.handle.get().stopped()

    @property
    def stop(self):
        return self.handle.get().stop().decode()
