# client_id is for DTLS; a TLS server takes it and does nothing with it.
from helpers import serve

serve(wrap={"client_id": b"x"})
