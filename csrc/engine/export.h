#pragma once

// Everything in libpyollama-engine is hidden but what carries PYOLLAMA_API: another package in the same
// process may hold its own copy of llama.cpp, and a name that is not exported cannot clash.
// A class that is thrown across the library's border needs it too.

#if defined(_WIN32)
#    if defined(PYOLLAMA_BUILDING_ENGINE)
#        define PYOLLAMA_API __declspec(dllexport)
#    else
#        define PYOLLAMA_API __declspec(dllimport)
#    endif
#else
#    define PYOLLAMA_API __attribute__((visibility("default")))
#endif
