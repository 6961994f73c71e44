"""From messages and wishes to what the engine takes: prompts and grammars.

`ChatTemplate` renders a conversation with the template of a GGUF file, `grammar_of` turns the ``format`` of a
request into a grammar.
"""

from pyollama.prompt.chat_template import ChatTemplate
from pyollama.prompt.message import Message
from pyollama.prompt.output_format import Constraint, Format, grammar_of

__all__ = ["ChatTemplate", "Constraint", "Format", "Message", "grammar_of"]
