#pragma once

// For Cython's "except +": an exception of pyollama.errors, set by its name.

#include <Python.h>

#include <cstring>

namespace pyollama {

// Needs the GIL. pyollama.errors is imported when it is needed: the package may import an extension module while it
// is being imported itself.
inline void set_python_error(const char * name, const char * message) {
    PyObject * errors = PyImport_ImportModule("pyollama.errors");
    PyObject * type   = errors != nullptr ? PyObject_GetAttrString(errors, name) : nullptr;
    PyObject * text   = type != nullptr
                            ? PyUnicode_DecodeUTF8(message, static_cast<Py_ssize_t>(std::strlen(message)), "replace")
                            : nullptr;
    if (text != nullptr) {
        PyErr_SetObject(type, text);
    }
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(errors);
}

} // namespace pyollama
