*** Settings ***
Documentation    SSLContext and its loading methods.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A Context Is Made For Each Protocol
    [Tags]    context.protocol
    Camera Does    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ...    ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT)    ssl.SSLContext(ssl.PROTOCOL_DTLS_SERVER)

The Protocol Has To Be Given
    [Tags]    context.protocol
    Camera Raises    TypeError    ssl.SSLContext()

The Protocol Is Positional Only
    [Tags]    context.protocol
    Camera Raises    TypeError    ssl.SSLContext(protocol=ssl.PROTOCOL_TLS_CLIENT)

There Is But One Argument
    [Tags]    context.protocol
    Camera Raises    TypeError    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT, 1)

A Text Is No Protocol
    [Tags]    context.protocol-values
    Camera Raises    TypeError or ValueError    ssl.SSLContext('x')

A Number Out Of Range Is No Protocol
    [Tags]    context.protocol-values
    Camera Raises    ValueError or OSError    ssl.SSLContext(99)

A Negative Number Is No Protocol
    [Tags]    context.protocol-values
    Camera Raises    ValueError or OSError    ssl.SSLContext(-1)

Certificate And Key Come From Files
    [Tags]    load-cert.paths
    Camera Evaluates    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain('server.der', 'server.key')    None
    Camera Starts    ${CURDIR}/camera/serve_one.py
    Client Connects To Camera    verify=ca
    Peer Should Have Verified The Camera

The Files Have Names
    [Tags]    load-cert.paths
    Camera Does    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile='server.der', keyfile='server.key')

A Missing File Is ENOENT
    [Tags]    load-cert.paths
    Camera Raises    OSError    server_context(cert='missing.der')
    Camera Should Raise    OSError    ENOENT

A Missing Key Argument Is A TypeError
    [Tags]    load-cert.paths
    Camera Raises    TypeError    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain('server.der')

Certificate And Key Come As Bytes
    [Tags]    load-cert.bytes
    Camera Starts    ${CURDIR}/camera/serve_one.py    cert=code:open('server.der', 'rb').read()    key=code:open('server.key', 'rb').read()
    Client Connects To Camera    verify=ca
    Peer Should Have Verified The Camera

One May Be A Path And The Other Bytes
    [Tags]    load-cert.bytes
    Camera Does    server_context('server.der', open('server.key', 'rb').read())

A bytearray Is No Bytes
    [Tags]    load-cert.bytes
    Camera Raises    TypeError    server_context(bytearray(open('server.der', 'rb').read()), 'server.key')

A Byte Behind The Key Is Noticed
    [Tags]    load-cert.bytes
    Camera Refuses    server_context('server.der', open('server.key', 'rb').read() + b'\\n')

Bytes That Are No Certificate Are Refused
    [Tags]    load-cert.bytes
    Camera Refuses    server_context(b'server.der', b'server.key')

A Certificate With Another Key Is Noticed
    [Tags]    load-cert.correspond
    Camera Has File    other.key    key=camera
    Camera Refuses    server_context('server.der', 'other.key')

A Certificate With Another Key Convinces Nobody
    [Tags]    load-cert.correspond
    Camera Has File    other.key    key=camera
    Camera Starts    ${CURDIR}/camera/serve_one.py    key=other.key
    Client Connects To Camera    leave_ms=5000
    Nobody Should Have Met    client

A Chain Is Shown Whole
    [Tags]    load-cert.chain
    Camera Has File    leaf.der    certificate=server_of_intermediate
    Camera Has File    leaf.key    key=server_of_intermediate
    Camera Has File    intermediate.der    certificate=intermediate
    Camera Starts    ${CURDIR}/camera/serve_one.py    key=leaf.key
    ...    cert=code:open('leaf.der', 'rb').read() + open('intermediate.der', 'rb').read()
    Client Connects To Camera    verify=ca    leave_ms=5000
    Peer Should Have Verified The Camera

A CA In A File Decides
    [Tags]    load-verify.decides
    An Example Server    example
    Camera Does    s = required()

A CA As Bytes Decides
    [Tags]    load-verify.decides
    An Example Server    example
    Camera Does    ctx = context(ssl.CERT_REQUIRED)
    Camera Evaluates    ctx.load_verify_locations(cadata=open('ca.der', 'rb').read())    None
    Camera Does    s = ctx.wrap_socket(tcp(), server_hostname='example.com')

Another CA Refuses
    [Tags]    load-verify.decides
    An Example Server    example
    Camera Refuses    required(ca='other_ca.der')
    Nobody Should Have Met    example.com

No CA Refuses
    [Tags]    load-verify.decides
    An Example Server    example
    Camera Refuses    required(ca=None)
    Nobody Should Have Met    example.com

The First CA Of A File Counts
    [Tags]    load-verify.several
    An Example Server    example
    Camera Does    ctx = context(ssl.CERT_REQUIRED)
    ...    ctx.load_verify_locations(cadata=open('ca.der', 'rb').read() + open('other_ca.der', 'rb').read())
    ...    s = ctx.wrap_socket(tcp(), server_hostname='example.com')

The Second CA Of A File Counts
    [Tags]    load-verify.several
    An Example Server    of_other_ca
    Camera Does    ctx = context(ssl.CERT_REQUIRED)
    ...    ctx.load_verify_locations(cadata=open('ca.der', 'rb').read() + open('other_ca.der', 'rb').read())
    ...    s = ctx.wrap_socket(tcp(), server_hostname='example.com')

A Second Call Adds A CA
    [Tags]    load-verify.adds
    An Example Server    example
    Network Has Server    tls    other.example.com    port=443    certificate=of_other_ca
    Camera Does    ctx = context(ssl.CERT_REQUIRED, ca='ca.der')    ctx.load_verify_locations(cafile='other_ca.der')
    ...    a = ctx.wrap_socket(tcp(), server_hostname='example.com')
    ...    b = ctx.wrap_socket(tcp('other.example.com'), server_hostname='example.com')

A CA File And CA Data Are Not Given Together
    [Tags]    load-verify.one-argument
    Camera Raises    TypeError or ValueError    context().load_verify_locations(cafile='ca.der', cadata=open('other_ca.der', 'rb').read())

One Of Both Has To Be Given
    [Tags]    load-verify.one-argument
    Camera Raises    TypeError or ValueError    context().load_verify_locations()

An Empty Path Is No CA File
    [Tags]    load-verify.one-argument
    Camera Raises    TypeError or ValueError or OSError    context().load_verify_locations(cafile='')

A Missing CA File Is ENOENT
    [Tags]    load-verify.one-argument
    Camera Raises    OSError    context(ca='missing.der')
    Camera Should Raise    OSError    ENOENT

One Context Serves Many Sockets
    [Tags]    context.many-sockets
    An Example Server    example
    Camera Does    ctx = context(ssl.CERT_REQUIRED, ca='ca.der')
    ...    all = [ctx.wrap_socket(tcp(), server_hostname='example.com') for _ in range(3)]
    ...    for s in all: s.write(b'ping')
    ...    print([s.read(4) for s in all])
    Camera Should Print    [b'ping', b'ping', b'ping']


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}
