# The ssl module as documented, over the C module `tls`; of that it mends the names of suites only.
import tls
from tls import *


def _bytes(file_or_data):
    if isinstance(file_or_data, str):
        with open(file_or_data, "rb") as f:
            return f.read()
    return file_or_data


class SSLContext:
    def __init__(self, *protocol):  # positional only; tls counts the arguments
        self._context = tls.SSLContext(*protocol)
        self._context.verify_mode = CERT_NONE

    @property
    def verify_mode(self):
        return self._context.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._context.verify_mode = mode

    def load_cert_chain(self, certfile, keyfile):
        self._context.load_cert_chain(_bytes(certfile), _bytes(keyfile))

    def load_verify_locations(self, cafile=None, cadata=None):
        self._context.load_verify_locations(_bytes(cafile) if cafile else cadata)

    def get_ciphers(self):
        return [n.replace("-", "_") for n in self._context.get_ciphers()]

    def set_ciphers(self, ciphers):
        if not isinstance(ciphers, str):  # a str is for tls to refuse
            ciphers = [n.replace("_", "-") for n in ciphers]
        self._context.set_ciphers(ciphers)

    def wrap_socket(self, sock, *, server_side=False, do_handshake_on_connect=True,
                    server_hostname=None, client_id=None):
        known = {} if client_id is None else {"client_id": client_id}  # tls has it since 1.26
        return self._context.wrap_socket(
            sock, server_side=server_side, do_handshake_on_connect=do_handshake_on_connect,
            server_hostname=server_hostname, **known)


def wrap_socket(sock, server_side=False, key=None, cert=None, cert_reqs=CERT_NONE, cadata=None,
                server_hostname=None, do_handshake=True):
    context = SSLContext(PROTOCOL_TLS_SERVER if server_side else PROTOCOL_TLS_CLIENT)
    context.verify_mode = cert_reqs
    if cert or key:
        context.load_cert_chain(cert, key)
    if cadata:
        context.load_verify_locations(cadata=cadata)
    return context.wrap_socket(sock, server_side=server_side, server_hostname=server_hostname,
                               do_handshake_on_connect=do_handshake)
