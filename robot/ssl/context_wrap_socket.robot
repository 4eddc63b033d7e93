*** Settings ***
Documentation    SSLContext.wrap_socket(), its parameters, and the stream it returns.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
Only The Socket Is Positional
    [Tags]    wrap.signature
    Camera Raises    TypeError    context().wrap_socket(socket.socket(), False)

All Others Have Names
    [Tags]    wrap.signature
    An Example Server
    Camera Does    s = context().wrap_socket(tcp(), server_side=False, do_handshake_on_connect=True, server_hostname=None, client_id=None)
    Peer Is    example.com
    Peer Should Have Met No Error

An Unknown Name Is A TypeError
    [Tags]    wrap.signature
    Camera Raises    TypeError    context().wrap_socket(socket.socket(), suppress_ragged_eofs=True)

Any Stream Can Be Wrapped
    [Tags]    wrap.any-stream
    Camera Runs    ${CURDIR}/camera/memory_pipe.py
    Camera Should Not Raise
    Camera Should Print    server got b'ping', client got b'pong'

A Number Is No Stream
    [Tags]    wrap.any-stream
    Camera Raises    OSError or TypeError    context().wrap_socket(5)

An SSLSocket Is Returned
    [Tags]    wrap.returns-sslsocket
    An Example Server
    Camera Evaluates    type(connect()).__name__    'SSLSocket'

Its Class Is ssl.SSLSocket
    [Tags]    wrap.returns-sslsocket
    An Example Server
    Camera Evaluates    isinstance(connect(), ssl.SSLSocket)    True

It Has The Methods Of A Stream
    [Tags]    wrap.stream
    An Example Server
    Camera Does    s = connect()
    Camera Evaluates    [m for m in ('read', 'readinto', 'readline', 'write', 'close') if not hasattr(s, m)]    []

Lines Are Read As Lines
    [Tags]    wrap.stream
    An Example Server    greeting=one\ntwo\nthree    echo=false
    Camera Does    s = connect()
    Camera Evaluates    [s.readline(), s.readline(), s.readline(), s.readline()]    [b'one\\n', b'two\\n', b'three', b'']

read(n) Waits For n Bytes
    [Tags]    wrap.stream
    An Example Server
    Camera Does    s = connect()    s.write(b'ab')    s.write(b'cd')    print(s.read(3), s.read(1))
    Camera Should Print    b'abc' b'd'

readinto() Fills A Buffer
    [Tags]    wrap.stream
    An Example Server
    Camera Does    s = connect()    s.write(b'abcd')    b = bytearray(4)    print(s.readinto(b), b)
    Camera Should Print    4 bytearray(b'abcd')

poll() Wakes When Data Comes
    [Tags]    wrap.poll
    An Example Server    greeting=late    delay_ms=500
    Camera Does    s = connect()    p = select.poll()    p.register(s, select.POLLIN)    print(len(p.poll(100)))
    Camera Should Print    0
    Camera Does    print(len(p.poll(2000)), s.read(4))
    Camera Should Print    1 b'late'

poll() Sees Data That Is Decrypted Already
    [Tags]    wrap.poll
    An Example Server    greeting=abcdefgh
    Camera Does    s = connect()    print(s.read(4))    p = select.poll()    p.register(s, select.POLLIN)
    ...    time.sleep(1)    print(len(p.poll(0)), s.read(4))
    Camera Should Print    b'abcd'\n1 b'efgh'

poll() Says That It Can Be Written
    [Tags]    wrap.poll
    An Example Server
    Camera Does    s = connect()    p = select.poll()    p.register(s, select.POLLOUT)    print(len(p.poll(0)))
    Camera Should Print    1

select() Takes A Wrapped Socket
    [Tags]    wrap.poll
    An Example Server    greeting=hi
    Camera Does    s = connect()    r, w, x = select.select([s], [], [], 2)    print(r == [s])
    Camera Should Print    True

One Byte Goes And Comes
    [Tags]    wrap.sizes
    [Template]    Bytes Go And Come
    1

4096 Bytes Go And Come
    [Tags]    wrap.sizes
    [Template]    Bytes Go And Come
    4096

4097 Bytes Go And Come
    [Tags]    wrap.sizes
    [Template]    Bytes Go And Come
    4097

16384 Bytes Go And Come
    [Tags]    wrap.sizes
    [Template]    Bytes Go And Come
    16384

16385 Bytes Go And Come
    [Tags]    wrap.sizes
    [Template]    Bytes Go And Come
    16385

server_side Makes A Server Of Any TLS Context
    [Tags]    wrap.server-side
    Camera Starts    ${CURDIR}/camera/wrap_with_side.py    protocol=code:ssl.PROTOCOL_TLS_CLIENT    side=${True}
    Client Connects To Camera    leave_ms=5000
    Peer Should Have Received    hello\n

Without server_side A Context Is A Client
    [Tags]    wrap.server-side
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    s = context(protocol=ssl.PROTOCOL_TLS_SERVER).wrap_socket(tcp(), server_side=False)
    Peer Is    example.com
    Peer Should Have Met No Error

A Listening Socket Cannot Be Wrapped And Accept
    [Tags]    wrap.accepted
    Camera Raises    OSError    s = server_context().wrap_socket(listen(), server_side=True)

The Handshake Is Done When The Call Returns
    [Tags]    wrap.immediate
    An Example Server
    Camera Does    s = connect()    time.sleep(1)    print(s.cipher()[1])
    Camera Should Print    TLSv1.2
    Peer Is    example.com
    Peer Should Have Finished Its Handshake

A Deferred Handshake Waits For The First Write
    [Tags]    wrap.deferred
    An Example Server
    Camera Does    s = connect(wrap={'do_handshake_on_connect': False})    time.sleep(1)
    Conversation Should Not Hold    ClientHello
    Camera Does    s.write(b'ping')    print(s.read(4))
    Camera Should Print    b'ping'

A Deferred Handshake Waits For The First Read
    [Tags]    wrap.deferred
    An Example Server    greeting=hi
    Camera Does    s = connect(wrap={'do_handshake_on_connect': False})    time.sleep(1)
    Conversation Should Not Hold    ClientHello
    Camera Evaluates    s.read(2)    b'hi'

A Deferred Handshake Fails In The First Write
    [Tags]    wrap.deferred
    An Example Server    certificate=of_other_ca
    Camera Does    s = required(wrap={'do_handshake_on_connect': False})
    Camera Refuses    s.write(b'ping')

A Slow Peer Costs The First Write Its Time
    [Tags]    wrap.deferred
    An Example Server    handshake_delay_ms=2000
    Camera Does    t = time.ticks_ms()    s = connect(wrap={'do_handshake_on_connect': False})    print(time.ticks_diff(time.ticks_ms(), t) < 100)
    Camera Should Print    True
    Camera Does    s.write(b'ping')    print(time.ticks_diff(time.ticks_ms(), t) >= 2000)
    Camera Should Print    True

On A Non-Blocking Socket wrap_socket() Blocks All The Same
    [Tags]    wrap.nonblocking-immediate
    An Example Server    handshake_delay_ms=2000
    Camera Does    sock = tcp()    sock.setblocking(False)    t = time.ticks_ms()    s = context().wrap_socket(sock)
    ...    print(time.ticks_diff(time.ticks_ms(), t) >= 1900, s.cipher()[1])
    Camera Should Print    True TLSv1.2

On A Non-Blocking Socket An Immediate Handshake Has No End With A Silent Peer
    [Tags]    wrap.nonblocking-immediate
    An Example Server    handshake_delay_ms=600000
    Camera Starts    ${CURDIR}/camera/nonblocking_immediate.py
    Time Passes    120
    Camera Should Still Run
    Camera Is Interrupted

On A Non-Blocking Socket A Deferred Handshake Does Not Block
    [Tags]    wrap.nonblocking-deferred
    An Example Server    handshake_delay_ms=2000
    Camera Runs    ${CURDIR}/camera/nonblocking.py
    Camera Should Not Raise
    Camera Should Print    wrapped at once, None while it waits, then b'pong'

The Right server_hostname Is Accepted
    [Tags]    wrap.hostname
    An Example Server
    Camera Does    s = required(hostname='www.example.com')

A Wrong server_hostname Is Refused
    [Tags]    wrap.hostname
    An Example Server
    Camera Refuses    required(hostname='another.example')
    Nobody Should Have Met    example.com

A Name That Is Too Long Is Refused
    [Documentation]    255 is the most that DNS knows (RFC 1035 section 2.3.4).
    [Tags]    wrap.hostname
    An Example Server
    Camera Raises    OSError    required(hostname='a' * 300)

A Number Is No server_hostname
    [Tags]    wrap.hostname
    An Example Server
    Camera Raises    TypeError    required(hostname=5)

server_hostname Is Sent As SNI
    [Tags]    wrap.sni
    [Template]    The Server Chooses Its Certificate
    required

server_hostname Is Sent As SNI Without Verification
    [Tags]    wrap.sni
    [Template]    The Server Chooses Its Certificate
    connect

No server_hostname Means No SNI
    [Tags]    wrap.sni
    An Example Server
    Camera Does    s = connect(hostname=None)
    Peer Is    example.com
    Peer Should Have    server_name    ${None}

A TLS Client Ignores client_id
    [Tags]    wrap.client-id
    An Example Server
    Camera Does    s = connect(wrap={'client_id': b'x'})

A TLS Server Ignores client_id
    [Tags]    wrap.client-id
    Camera Starts    ${CURDIR}/camera/serve_with_client_id.py
    Client Connects To Camera
    Peer Should Have Received    hello\n

The Default Is CERT_NONE
    [Tags]    warning.default-none
    Camera Evaluates    [ssl.SSLContext(p).verify_mode == ssl.CERT_NONE for p in range(4)]    [True, True, True, True]

By Default Anybody In The Middle Is Believed
    [Tags]    warning.default-none
    An Example Server    certificate=own    greeting=from the middle
    Camera Does    s = context().wrap_socket(tcp(), server_hostname='example.com')    print(s.read(15))
    Camera Should Print    b'from the middle'

With CERT_REQUIRED Nobody In The Middle Learns A Word
    [Tags]    warning.required
    An Example Server    certificate=own
    Camera Refuses    s = required()    s.write(b'secret')
    Nobody Should Have Met    example.com
    Peer Is    example.com
    Peer Should Have Received    ${EMPTY}

With CERT_REQUIRED A Good Certificate For Another Name Does Not Help
    [Tags]    warning.required
    An Example Server    certificate=other_name
    Camera Refuses    s = required()    s.write(b'secret')
    Nobody Should Have Met    example.com

The Wrapped Object Has No Socket Methods
    [Tags]    warning.no-socket-methods
    An Example Server
    Camera Does    s = connect()
    Camera Evaluates    [m for m in ('send', 'sendall', 'recv', 'recv_into', 'makefile', 'accept') if hasattr(s, m)]    []

asyncio Streams Speak TLS As A Client
    [Tags]    wrap.asyncio
    An Example Server
    Camera Runs    ${CURDIR}/camera/asyncio_client.py
    Camera Should Not Raise
    Camera Should Print    b'over asyncio\\n'

asyncio Streams Speak TLS As A Server
    [Tags]    wrap.asyncio
    Camera Starts    ${CURDIR}/camera/asyncio_server.py
    Client Connects To Camera    count=2    send=hello\n    hold_ms=1500    verify=ca
    Peers Should All Have Received    you said hello\n    count=2
    Peer Should Have Verified The Camera


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}=example    &{options}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}    &{options}

Bytes Go And Come
    [Arguments]    ${size}
    An Example Server
    Camera Does    data = (b'abcdefghijklmnopqrstuvwxyz' * (${size} // 26 + 1))[:${size}]    s = connect()
    ...    print(s.write(data))    got = s.read(${size})    print(len(got), same(got, ${size}))
    Camera Should Print    ${size}\n${size} True
    Peer Is    example.com
    Peer Should Have Received The Alphabet    ${size}

The Server Chooses Its Certificate
    [Arguments]    ${function}
    An Example Server    certificate=wildcard    sni=${{ {'example.com': 'example', 'another.example': 'other_name'} }}
    Camera Does    for name in ('example.com', 'another.example'): ${function}('example.com', hostname=name)
    Peer Is    example.com    1
    Peer Should Have    server_name    example.com
    Peer Should Have Met No Error
    Peer Is    example.com    2
    Peer Should Have    server_name    another.example
    Peer Should Have Met No Error
