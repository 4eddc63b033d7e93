"""TLS and DTLS: records, OpenSSL, our own endpoints and what they do wrong, certificates, keys."""
