*** Settings ***
Documentation    What the page says before its first example.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A Client Session Keeps Its Secret
    [Tags]    intro.sessions
    Network Has Server    tls    example.com    port=443    certificate=example    greeting=the answer is 42\n    echo=false
    Camera Does    s = connect()    s.write(b'the secret is 41')    print(s.read())
    Camera Should Print    b'the answer is 42\\n'
    Peer Is    example.com
    Peer Should Have Received    the secret is 41
    Nobody Should Overhear    the secret is 41
    Nobody Should Overhear    the answer is 42

A Server Session Keeps Its Secret
    [Tags]    intro.sessions
    Camera Starts    ${CURDIR}/camera/serve_one.py    text=bytes:the answer is 42
    Client Connects To Camera    send=the secret is 41
    Peer Should Have Received    the answer is 42
    Nobody Should Overhear    the secret is 41
    Nobody Should Overhear    the answer is 42

Certificates And Keys In DER Are Taken
    [Tags]    intro.der
    Camera Does    context(ca='ca.der', cert='server.der', key='server.key')

A CA Certificate In PEM Is Not Taken
    [Tags]    intro.der
    Camera Has File    ca.pem    certificate=ca    format=pem
    Camera Refuses    context(ca='ca.pem')
    Camera Refuses    context().load_verify_locations(cadata=open('ca.pem', 'rb').read())

A Certificate In PEM Is Not Taken
    [Tags]    intro.der
    Camera Has File    server.pem    certificate=server    format=pem
    Camera Refuses    context(cert='server.pem', key='server.key')

A Key In PEM Is Not Taken
    [Tags]    intro.der
    Camera Has File    key.pem    key=server    format=pem
    Camera Refuses    context(cert='server.der', key='key.pem')

A P-256 Key Serves
    [Tags]    intro.key-types
    [Template]    The Camera Serves With
    server_p256    der

A P-256 Key In PKCS#8 Serves
    [Tags]    intro.key-types
    [Template]    The Camera Serves With
    server_p256    pkcs8

A P-384 Key Serves
    [Tags]    intro.key-types
    [Template]    The Camera Serves With
    server_p384    der

An RSA-2048 Key Serves
    [Tags]    intro.key-types
    [Template]    The Camera Serves With
    server_rsa2048    der

An RSA-2048 Key In PKCS#8 Serves
    [Tags]    intro.key-types
    [Template]    The Camera Serves With
    server_rsa2048    pkcs8

An RSA-4096 Key Serves
    [Tags]    intro.key-types
    [Template]    The Camera Serves With
    server_rsa4096    der

There Is No SSLError
    [Tags]    intro.no-sslerror
    Camera Evaluates    hasattr(ssl, 'SSLError')    False

A Server That Speaks No TLS Is An OSError
    [Tags]    intro.protocol-errors
    Network Has Server    tcp    example.com    port=443    greeting=220 mail.example.com ESMTP\n
    Camera Raises    OSError    connect()
    Camera Should Raise    OSError    -29184

A Server Without A Common Cipher Suite Is An OSError
    [Tags]    intro.protocol-errors
    Network Has Server    tls    example.com    port=443    certificate=example_p256    ciphers=ECDHE-ECDSA-CHACHA20-POLY1305
    Camera Raises    OSError    connect()
    Camera Should Raise    OSError    -30592

A Server That Knows Only TLS 1.3 Is An OSError
    [Tags]    intro.protocol-errors
    Network Has Server    tls    example.com    port=443    certificate=example    versions=['TLSv1.3']
    Camera Raises    OSError    connect()
    Camera Should Raise    OSError    -30592

A Server That Hangs Up In The Handshake Is An OSError
    [Tags]    intro.protocol-errors
    Network Has Server    tcp    example.com    port=443    echo=false
    Camera Raises    OSError    connect()
    Camera Should Raise    OSError    -29312

A Server That Resets In The Handshake Is An OSError
    [Tags]    intro.protocol-errors
    Network Has Server    tcp    example.com    port=443    echo=false    end=reset
    Camera Raises    OSError    connect()
    Camera Should Raise    OSError    ECONNRESET

An Untrusted Certificate Is An OSError
    [Tags]    intro.every-error
    Network Has Server    tls    example.com    port=443    certificate=of_other_ca
    Camera Raises    OSError    required()

A Certificate For Another Name Is An OSError
    [Tags]    intro.every-error
    Network Has Server    tls    example.com    port=443    certificate=other_name
    Camera Raises    OSError    required()

An Expired Certificate Is An OSError
    [Tags]    intro.every-error
    Network Has Server    tls    example.com    port=443    certificate=expired
    Camera Raises    OSError    required()

A Damaged Certificate Is An OSError
    [Tags]    intro.every-error
    Camera Raises    OSError    context().load_verify_locations(cadata=b'no certificate')

A Missing Server Name Is An OSError
    [Tags]    intro.every-error
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Raises    OSError    required(hostname=None)


*** Keywords ***
The Camera Serves With
    [Arguments]    ${certificate}    ${format}
    Camera Has File    mine.der    certificate=${certificate}
    Camera Has File    mine.key    key=${certificate}    format=${format}
    Camera Starts    ${CURDIR}/camera/serve_one.py    cert=mine.der    key=mine.key
    Client Connects To Camera    verify=ca    server_name=camera.local
    Peer Should Have Verified The Camera
    Peer Should Have Received    hello\n
    Camera Finishes
    Camera Should Not Raise
