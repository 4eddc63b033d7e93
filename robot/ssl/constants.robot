*** Settings ***
Documentation    The constants of the module.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
The Four Protocols Are Different Numbers
    [Tags]    constants.exist
    Camera Evaluates    sorted({ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_DTLS_CLIENT, ssl.PROTOCOL_DTLS_SERVER})    [0, 1, 2, 3]

The Three Modes Are Different Numbers
    [Tags]    constants.exist
    Camera Evaluates    sorted({ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED})    [0, 1, 2]

PROTOCOL_TLS_CLIENT Speaks First
    [Tags]    constants.protocols
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    s = context(protocol=ssl.PROTOCOL_TLS_CLIENT).wrap_socket(tcp())
    Conversation Should Hold    camera > example.com: TLS ClientHello

PROTOCOL_TLS_SERVER Answers
    [Tags]    constants.protocols
    Camera Starts    ${CURDIR}/camera/wrap_with_side.py    protocol=code:ssl.PROTOCOL_TLS_SERVER    side=${True}
    Client Connects To Camera
    Peer Should Have Received    hello\n
    Conversation Should Hold    camera > client: TLS ServerHello

PROTOCOL_DTLS_CLIENT Speaks DTLS
    [Tags]    constants.protocols
    Network Has Server    dtls    dtls.example.com    certificate=dtls
    Camera Does    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(udp())
    Conversation Should Hold    camera > dtls.example.com: DTLS

PROTOCOL_DTLS_SERVER Answers In DTLS
    [Tags]    constants.protocols
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls
    Conversation Should Hold    camera > client: DTLS

CERT_NONE As verify_mode Takes Any Certificate
    [Tags]    constants.none-required
    Network Has Server    tls    example.com    port=443    certificate=of_other_ca
    Camera Does    s = connect(mode=ssl.CERT_NONE, ca='ca.der')

CERT_REQUIRED As verify_mode Takes Good Certificates Only
    [Tags]    constants.none-required
    Network Has Server    tls    example.com    port=443    certificate=example
    Network Has Server    tls    bad.example.com    port=443    certificate=of_other_ca
    Camera Does    s = required()
    Camera Refuses    required('bad.example.com', hostname='example.com')

A Client With CERT_OPTIONAL Takes Any Certificate
    [Tags]    constants.optional
    Network Has Server    tls    example.com    port=443    certificate=of_other_ca
    Camera Does    s = connect(mode=ssl.CERT_OPTIONAL, ca='ca.der')

A Server With CERT_OPTIONAL Takes Any Client
    [Tags]    constants.optional
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${1}    ca=ca.der    clients=${3}
    Client Connects To Camera    name=none
    Peer Should Have Received    hello\n
    Client Connects To Camera    name=other    address=192.168.1.21    certificate=client_of_other_ca
    Peer Should Have Received    hello\n
    Client Connects To Camera    name=good    address=192.168.1.22    certificate=client
    Peer Should Have Received    hello\n

A Server With CERT_OPTIONAL Asks For No Certificate
    [Tags]    constants.optional
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${1}    ca=ca.der
    Client Connects To Camera    certificate=client
    Conversation Should Not Hold    CertificateRequest
