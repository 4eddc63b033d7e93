# A connection without any time limit.
from helpers import connect

connect()
