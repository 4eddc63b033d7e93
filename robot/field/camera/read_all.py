# Everything that the server has to say.
from helpers import connect

print(connect().read())
