*** Settings ***
Documentation    What a reader of the page may expect without being told.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A Closing Client Says So
    [Tags]    implied.close-notify
    An Example Server
    Camera Does    s = connect()    s.write(b'bye')    s.close()
    Peer Is    example.com
    Peer Should Have Received    bye
    Peer Should See An Orderly End

A Response That Is Cut Short Is An Error
    [Tags]    implied.truncation
    An Example Server    greeting=half of    echo=false    end=fin
    Camera Raises    OSError    s = required()    print(s.read())

Data Before A Reset Is Not Lost
    [Tags]    implied.reset
    An Example Server    greeting=part    echo=false    end=reset
    Camera Does    s = required()    time.sleep(1)    print(s.read(4))
    Camera Should Print    b'part'

read() Ends With A close_notify
    [Tags]    implied.read-ends
    An Example Server    greeting=all    echo=false
    Camera Does    s = required()    print(s.read())
    Camera Should Print    b'all'

A Second read() At The End Returns Nothing
    [Tags]    implied.read-ends
    An Example Server    greeting=all    echo=false
    Camera Does    s = required()    s.read()    print(s.read())
    Camera Should Print    b''

read() Ends With A Server That Keeps The Connection
    [Tags]    implied.keep-alive
    An Example Server    greeting=all
    Camera Does    s = required()    print(s.read())

After A Failed Handshake The Socket Is Closed
    [Tags]    implied.failed-handshake
    An Example Server    certificate=of_other_ca
    Camera Does    sock = tcp()
    Camera Refuses    context(ssl.CERT_REQUIRED, 'ca.der').wrap_socket(sock, server_hostname='example.com')
    Camera Refuses    sock.write(b'in clear')
    Nobody Should Overhear    in clear

An Untrusted Server Is Told Why
    [Tags]    implied.alerts
    An Example Server    certificate=of_other_ca
    Camera Refuses    required()
    Conversation Should Hold    camera > example.com: TLS alert, fatal unknown_ca

A Server Of Another Name Is Told Why
    [Tags]    implied.alerts
    An Example Server    certificate=other_name
    Camera Refuses    required()
    Conversation Should Hold    camera > example.com: TLS alert, fatal bad_certificate

An Expired Server Is Told Why
    [Tags]    implied.alerts
    An Example Server    certificate=expired
    Camera Refuses    required()
    Conversation Should Hold    camera > example.com: TLS alert, fatal certificate_expired

A Client Without A Certificate Is Told Why
    [Tags]    implied.alerts
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${2}    ca=ca.der
    Client Connects To Camera    leave_ms=5000
    Conversation Should Hold    camera > client: TLS alert, fatal

A Server With TLS 1.2 And 1.3 Is Reached
    [Tags]    implied.current-servers
    [Template]    The Camera Reaches
    certificate=example    versions=['TLSv1.2', 'TLSv1.3']

A Server With A P-256 Certificate Is Reached
    [Tags]    implied.current-servers
    [Template]    The Camera Reaches
    certificate=example_p256

A Server With TLS 1.3 Only Is Reached
    [Tags]    implied.current-servers
    [Template]    The Camera Reaches
    certificate=example    versions=['TLSv1.3']

A Server With An Ed25519 Certificate Is Reached
    [Tags]    implied.current-servers
    [Template]    The Camera Reaches
    certificate=example_ed25519

A Server Whose Certificate Is Signed With RSASSA-PSS Is Reached
    [Tags]    implied.current-servers
    [Template]    The Camera Reaches
    certificate=example_pss

A Server With ChaCha20 Only Is Reached
    [Tags]    implied.current-servers
    [Template]    The Camera Reaches
    certificate=example_p256    ciphers=ECDHE-ECDSA-CHACHA20-POLY1305

60 kB Are Read In Pieces
    [Tags]    implied.transfers
    An Example Server    greeting=abcdefghijklmnopqrstuvwxyz    size=60000    echo=false
    Camera Does    s = required()    data = b''
    ...    while piece := s.read(1000): data += piece
    ...    print(len(data), same(data, 60000))
    Camera Should Print    60000 True

50 kB Are Written
    [Tags]    implied.transfers
    An Example Server    echo=false    delay_ms=20000
    Camera Does    s = required()    data = (b'abcdefghijklmnopqrstuvwxyz' * 2000)[:50000]    print(s.write(data))    time.sleep(1)
    Camera Should Print    50000
    Peer Is    example.com
    Peer Should Have Received The Alphabet    ${50000}

Memory Is Back After 20 Connections
    [Documentation]    With RSA key exchange, the quickest for a client.
    [Tags]    implied.memory
    An Example Server
    Camera Does    ctx = context()
    ...    def once(_):
    ...    ${SPACE * 4}s = ctx.wrap_socket(tcp()); s.write(b'x'); s.read(1); s.close()
    Camera Does    heap(once, 20)
    Camera Should Print    heap 0

Names Match Whatever Their Case
    [Tags]    implied.names
    An Example Server
    Camera Does    s = required(hostname='EXAMPLE.com')

A Wildcard Matches One Label
    [Tags]    implied.names
    An Example Server    certificate=wildcard
    Camera Does    s = required(hostname='a.example.com')
    Camera Refuses    required(hostname='a.b.example.com')

An Address Matches An Address
    [Tags]    implied.names
    An Example Server    certificate=address
    Camera Does    s = required(hostname='192.168.1.40')
    Camera Refuses    required(hostname='192.168.1.41')

A Common Name Counts Where There Are No Other Names
    [Tags]    implied.names
    An Example Server    certificate=common_name_only
    Camera Does    s = required()

A Common Name Does Not Count Beside Other Names
    [Tags]    implied.names
    An Example Server    certificate=common_name_and_other
    Camera Refuses    required()


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}=example    &{options}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}    &{options}

The Camera Reaches
    [Arguments]    &{options}
    Network Has Server    tls    example.com    port=443    &{options}
    Camera Does    s = required()    s.write(b'ping')    print(s.read(4))
    Camera Should Print    b'ping'
