"""What peers can be told to do wrong: names for the scenario key `misbehave`, by kind."""

#: for kind = "dtls"; done by netsim.dtls12
DTLS = {
    "no": "nothing: our own endpoint as it should be",
    "wrong_cookie": "a client returns a cookie with a bit turned",
    "foreign_cookie": "a client returns the cookie that another client has got",
    "no_cookie": "a client never returns the cookie",
    "no_hello_verify": "a server asks for no cookie",
    "long_cookie": "a server's cookie has 255 bytes",
    "lost_flight": "each flight is lost the first time",
    "lost_datagram": "the first datagram of each flight is lost the first time",
    "reversed_flight": "the datagrams of a flight come last first",
    "small_fragments": "messages but the ClientHello come in fragments of 60 bytes",
    "fragmented_hello": "the ClientHello, too",
    "reversed_fragments": "and the fragments come last first",
    "overlapping_fragments": "fragments repeat half of the one before",
    "conflicting_fragments": "fragments overlap with other contents",
    "single_datagram": "a whole flight comes in one datagram",
    "repeated_datagrams": "each datagram comes twice",
    "replayed_data": "the record with data comes three times",
    "wrong_epoch": "a copy of each record comes before it in an epoch that does not exist",
    "early_finished": "Finished comes before ChangeCipherSpec, then again after it",
    "wrong_finished": "the verify data of Finished is wrong",
    "wrong_tag": "a forged record with data comes before the true one",
    "huge_length": "a fragment claims that its message has 16 MiB",
    "garbage": "noise comes before each datagram",
}
BY_KIND = {"dtls": DTLS}
