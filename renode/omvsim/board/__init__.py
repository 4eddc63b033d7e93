"""Board descriptions in the supported subset of Renode's `.repl` language (see `parser`)."""

from omvsim.board.hardware import Board, Hardware, MappedDevice, MappedMemory, load
from omvsim.board.lexer import ReplError, Where

__all__ = ["Board", "Hardware", "MappedDevice", "MappedMemory", "ReplError", "Where", "load"]
