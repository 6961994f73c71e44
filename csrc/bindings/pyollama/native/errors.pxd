# csrc/engine/error.h: C++ exceptions of the engine as exceptions of pyollama.errors.

cdef extern from *:
    """
    #include "bindings/python_error.h"
    #include "engine/error.h"

    #include <new>

    inline const char * pyollama_error_name(pyollama::ErrorCode code) {
        using pyollama::ErrorCode;
        switch (code) {
            case ErrorCode::invalid_argument: return "InvalidRequest";
            case ErrorCode::load:             return "ModelLoadError";
            case ErrorCode::cancelled:        return "Cancelled";
            case ErrorCode::closed:           return "Closed";
            case ErrorCode::context_full:     return "ContextLengthExceeded";
            case ErrorCode::grammar:          return "GrammarError";
            case ErrorCode::unsupported:      return "Unsupported";
            case ErrorCode::decode:           return "EngineError";
            case ErrorCode::state:            return "InvalidRequest";
        }
        return "EngineError";
    }

    // Translates the C++ exception that is being handled; called with the GIL.
    inline void pyollama_raise_engine_error() {
        try {
            throw;
        } catch (const pyollama::Error & e) {
            pyollama::set_python_error(pyollama_error_name(e.code()), e.what());
        } catch (const std::bad_alloc &) {
            PyErr_NoMemory();
        } catch (const std::exception & e) {
            pyollama::set_python_error("EngineError", e.what());
        } catch (...) {
            pyollama::set_python_error("EngineError", "unknown C++ exception");
        }
    }
    """
    void pyollama_raise_engine_error()
    const char * pyollama_error_name(ErrorCode code) nogil


cdef extern from "engine/error.h" namespace "pyollama" nogil:
    cdef enum class ErrorCode(int):
        invalid_argument
        load
        cancelled
        closed
        context_full
        grammar
        unsupported
        decode
        state
