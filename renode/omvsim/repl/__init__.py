"""Board descriptions in the supported subset of Renode's `.repl` language (see `parser`)."""

from omvsim.repl.board import Board, Hardware, MappedDevice, MappedMemory, load
from omvsim.repl.lexer import ReplError, Where

__all__ = ["Board", "Hardware", "MappedDevice", "MappedMemory", "ReplError", "Where", "load"]
