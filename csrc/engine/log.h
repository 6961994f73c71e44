#pragma once

#include "export.h"

#include <cstdint>
#include <string>

namespace pyollama {

// Everything that llama.cpp and ggml log goes to one sink: a bounded ring of recent lines, never to stderr
// unless echo is on. Levels are ggml's: 1 debug, 2 info, 3 warn, 4 error.
void log_install();

PYOLLAMA_API void        log_set_echo(bool on);
PYOLLAMA_API std::string log_recent(); // the last lines, at most 16 KiB

// Collects the warnings and errors that the current thread logs while it lives, for an error message.
class LogCapture {
  public:
    LogCapture();
    ~LogCapture();
    LogCapture(const LogCapture &) = delete;
    LogCapture & operator=(const LogCapture &) = delete;

    // The captured lines joined by "; ", with llama.cpp's function-name prefixes removed.
    std::string summary() const;

    void append(const char * text);

  private:
    static constexpr size_t max_size = 4096;

    LogCapture * outer_;
    std::string  text_;
};

} // namespace pyollama
