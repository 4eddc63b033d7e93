*** Settings ***
Documentation    DTLS: the client, the server with its cookies, and what both promise.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Variables ***
${REFUSED}    OSError -27264 MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED


*** Test Cases ***
The Constants Make Contexts For Datagram Sockets
    [Tags]    dtls.contexts
    Network Has Server    dtls    dtls.example.com    certificate=dtls
    Camera Does    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(udp(), do_handshake_on_connect=False)
    ...    t = context(protocol=ssl.PROTOCOL_DTLS_SERVER).wrap_socket(udp(), server_side=True, do_handshake_on_connect=False, client_id=b'x')

The Client Example Talks
    [Tags]    dtls.client
    Network Has Server    dtls    dtls.example.com    certificate=dtls
    Camera Runs    dtls_client.py
    Camera Should Not Raise
    Camera Should Print    b'hello\\n'
    Peer Is    dtls.example.com
    Peer Should Have    version    DTLSv1.2
    Peer Should Have Received    hello\n

A Client Refuses A Server Of Another Authority
    [Tags]    dtls.client
    Network Has Server    dtls    dtls.example.com    certificate=of_other_ca
    Camera Runs    dtls_client.py
    Camera Should Raise    OSError or ValueError

The Server Example Greets
    [Tags]    dtls.server
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls    verify=ca
    Peer Should Have Verified The Camera
    Peer Should Have    version    DTLSv1.2
    Peer Should Have Received    hello\n

Nobody Overhears The Server
    [Tags]    dtls.server
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls
    Peer Should Have Received    hello\n
    Nobody Should Overhear    hello\n

Hello Verify Is Transparent For A Client
    [Tags]    dtls.hello-verify
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls
    Conversation Should Hold    camera > client: DTLS HelloVerifyRequest
    Peer Should Have Received    hello\n

client_id Takes Bytes
    [Tags]    dtls.client-id
    [Template]    A Server Takes The Identifier
    b'192.168.1.20 57000'

client_id Takes A bytearray
    [Tags]    dtls.client-id
    [Template]    A Server Takes The Identifier
    bytearray(b'id')

client_id Takes A memoryview
    [Tags]    dtls.client-id
    [Template]    A Server Takes The Identifier
    memoryview(b'id')

A Number Is No client_id
    [Tags]    dtls.client-id
    [Template]    A Server Refuses The Identifier
    5

Nothing Is No client_id
    [Tags]    dtls.client-id
    [Template]    A Server Refuses The Identifier
    None

The Sender Of A Datagram Is Known Before It Is Taken
    [Tags]    dtls.peek
    Camera Starts    ${CURDIR}/camera/dtls_peek.py
    Client Calls Camera    dtls
    Camera Finishes
    Camera Should Print    True True True

The Method Is Called recv_from
    [Tags]    dtls.recv-from
    Camera Evaluates    hasattr(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 'recv_from')    True

The Snippet Works As Written
    [Tags]    dtls.snippet
    Camera Starts    ${CURDIR}/camera/dtls_snippet.py
    Client Connects To Camera    dtls
    Peer Should Have Received    hello\n

First Contact Is An OSError
    [Tags]    dtls.first-contact
    Camera Starts    ${CURDIR}/camera/dtls_attempts.py
    Client Calls Camera    dtls
    Camera Finishes
    Camera Should Print    1 ${REFUSED}\n2 SSLSocket

It Says Hello Verify Required
    [Tags]    dtls.first-contact-text
    Camera Starts    ${CURDIR}/camera/dtls_attempts.py
    Client Calls Camera    dtls
    Camera Finishes
    Camera Output Should Hold    Hello Verify Required

The Second Contact Succeeds
    [Tags]    dtls.second-contact
    Camera Starts    ${CURDIR}/camera/dtls_attempts.py
    Client Connects To Camera    dtls
    Camera Finishes
    Camera Should Print    1 ${REFUSED}\n2 SSLSocket

Another Identifier Is Another Client
    [Tags]    dtls.second-contact
    Camera Starts    ${CURDIR}/camera/dtls_attempts.py    ids=${{ [b'one', b'two', b'three'] }}
    Client Calls Camera    dtls
    Camera Finishes    60
    Camera Should Print    1 ${REFUSED}\n2 ${REFUSED}\n3 ${REFUSED}

Cookies Belong To The Context
    [Tags]    dtls.cookie-context
    Camera Starts    ${CURDIR}/camera/dtls_attempts.py    new_context=${True}
    Client Calls Camera    dtls
    Camera Finishes    60
    Camera Should Print    1 ${REFUSED}\n2 ${REFUSED}

A Cookie Is Good For 58 Seconds
    [Tags]    dtls.cookie-timeout
    [Template]    After Seconds The Second Attempt Is
    58    SSLSocket

A Cookie Is Stale After 62 Seconds
    [Documentation]    Lifetimes are told by the calendar, which is set forward between the attempts.
    [Tags]    dtls.cookie-timeout
    [Template]    After Seconds The Second Attempt Is
    62    ${REFUSED}

Memory Does Not Grow With 200 Clients
    [Tags]    dtls.memory
    Camera Starts    ${CURDIR}/camera/dtls_many_hellos.py    count=${200}
    Client Calls Camera    dtls    count=${200}    handshake_delay_ms=1000    leave_ms=50
    Camera Finishes    200
    Camera Should Print    heap 0

One Context Serves Five Clients
    [Tags]    dtls.context-lifetime
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls    count=5
    Peers Should All Have Received    hello\n    count=5

Closing Tells A DTLS Peer
    [Tags]    dtls.close-notify
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls    hold_ms=2000
    Peer Should See An Orderly End

A Lost ClientHello Is Sent Again By A Blocking Client
    [Tags]    dtls.loss
    Network Has Server    dtls    dtls.example.com    certificate=dtls    ignore=1
    Camera Runs    dtls_client.py    limit_s=30
    Camera Should Print    b'hello\\n'

A Lost ClientHello Is Sent Again By A Non-Blocking Client
    [Tags]    dtls.loss
    Network Has Server    dtls    dtls.example.com    certificate=dtls    ignore=1
    Camera Runs    ${CURDIR}/camera/dtls_nonblocking.py    limit_s=30
    Camera Should Not Raise
    Camera Should Print    b'hello\\n'

A Lost ClientHello Is Sent Again By A Client With A Time-Out
    [Tags]    dtls.loss
    Network Has Server    dtls    dtls.example.com    certificate=dtls    ignore=1
    Camera Does    sock = udp()    sock.settimeout(5)    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(sock)

A Datagram Is Read As It Came
    [Tags]    dtls.datagrams
    Network Has Server    dtls    dtls.example.com    certificate=dtls    greeting=abcde
    Camera Does    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(udp())
    Camera Evaluates    s.read(100)    b'abcde'

recv() Gives A Datagram As It Came
    [Documentation]    The page does not name the method.
    [Tags]    dtls.datagrams
    Network Has Server    dtls    dtls.example.com    certificate=dtls    greeting=abcde
    Camera Does    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(udp())
    Camera Evaluates    s.recv(100)    b'abcde'

6000 Bytes Are Refused As They Fit No Datagram
    [Documentation]    Nothing of them is sent.
    [Tags]    dtls.datagrams
    Network Has Server    dtls    dtls.example.com    certificate=dtls
    Camera Does    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(udp())
    Camera Raises    OSError    s.write(bytes(6000))
    Camera Should Raise    OSError    -28928
    Time Passes    1
    Peer Is    dtls.example.com
    Peer Should Have Received    ${EMPTY}

A Second Client Is Greeted While The First Is Held
    [Tags]    dtls.two-clients
    Camera Starts    ${CURDIR}/camera/dtls_two_clients.py
    Client Calls Camera    dtls    name=first    hold_ms=20000
    Client Connects To Camera    dtls    name=second    address=192.168.1.21    start_ms=1500    retry_ms=1000    hold_ms=5000
    Peer Should Have Received    hello second\n
    Camera Finishes
    Peer Is    first
    Peer Should Have Received    hello first\n


*** Keywords ***
After Seconds The Second Attempt Is
    [Arguments]    ${seconds}    ${outcome}
    Camera Starts    ${CURDIR}/camera/dtls_cookie_age.py    seconds=${seconds}
    Client Calls Camera    dtls
    Camera Finishes    60
    Camera Should Print    1 ${REFUSED}\n2 ${outcome}

A Server Takes The Identifier
    [Arguments]    ${id}
    Camera Starts    ${CURDIR}/camera/dtls_attempts.py    ids=code:[${id}, ${id}]
    Client Calls Camera    dtls
    Camera Finishes    60
    Camera Should Print    1 ${REFUSED}\n2 SSLSocket

A Server Refuses The Identifier
    [Arguments]    ${id}
    Camera Does    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)    sock.connect(socket.getaddrinfo('192.168.1.20', 5684)[0][-1])
    Camera Raises    OSError    dtls_context().wrap_socket(sock, server_side=True, client_id=${id})
    Camera Should Raise    OSError    -28928
