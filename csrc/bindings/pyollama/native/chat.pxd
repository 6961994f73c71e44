# Declarations of csrc/chat: message_parser.h, chat_template.h, schema.h, error.h.

from libcpp cimport bool
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from *:
    """
    #include "bindings/python_error.h"
    #include "chat/error.h"

    #include <new>

    // Translates the C++ exception that is being handled; called with the GIL.
    inline void pyollama_raise_chat_error() {
        try {
            throw;
        } catch (const pyollama::chat::Error & e) {
            using pyollama::chat::ErrorKind;
            const char * name = "EngineError";
            switch (e.kind()) {
                case ErrorKind::template_syntax:
                case ErrorKind::render: name = "TemplateError"; break;
                case ErrorKind::schema: name = "GrammarError"; break;
                case ErrorKind::json:   name = "InvalidRequest"; break;
                case ErrorKind::parse:  name = "EngineError"; break;
            }
            pyollama::set_python_error(name, e.what());
        } catch (const std::bad_alloc &) {
            PyErr_NoMemory();
        } catch (const std::exception & e) {
            pyollama::set_python_error("EngineError", e.what());
        } catch (...) {
            pyollama::set_python_error("EngineError", "unknown C++ exception");
        }
    }
    """
    void pyollama_raise_chat_error()


cdef extern from "chat/chat_template.h" namespace "pyollama::chat" nogil:
    cdef cppclass CppChatTemplate "pyollama::chat::ChatTemplate":
        CppChatTemplate(const string & source, const string & bos, const string & eos,
                        const string & tool_use_source) except +pyollama_raise_chat_error
        string render(const string & request) except +pyollama_raise_chat_error
        string capabilities() except +pyollama_raise_chat_error
        const string & source() noexcept


cdef extern from "chat/message_parser.h" namespace "pyollama::chat" nogil:
    cdef cppclass CppMessageParser "pyollama::chat::MessageParser":
        CppMessageParser(const string & params) except +pyollama_raise_chat_error
        string parse(const string & text, bool is_partial) except +pyollama_raise_chat_error


cdef extern from "chat/schema.h" namespace "pyollama::chat" nogil:
    const char * json_grammar

    cdef cppclass SchemaGrammar:
        string grammar
        vector[string] warnings

    SchemaGrammar cpp_grammar_from_json_schema "pyollama::chat::grammar_from_json_schema" (
        const string & schema) except +pyollama_raise_chat_error
