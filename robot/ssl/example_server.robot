*** Settings ***
Documentation    The page's TLS server example and its visitors, good and bad.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A Client Is Greeted
    [Tags]    server.hello
    Camera Starts    tls_server.py
    Client Connects To Camera    verify=ca    server_name=camera.local
    Peer Should Have Verified The Camera
    Peer Should Have Received    hello\n

The Loaded Certificate Is Shown
    [Tags]    server.shows-certificate
    Camera Starts    tls_server.py
    Client Connects To Camera    verify=ca    server_name=camera.local
    Peer Should Have Been Shown    server

The Greeting Ends In Order
    [Tags]    server.end-of-stream
    Camera Starts    tls_server.py
    Client Connects To Camera
    Peer Should See An Orderly End

Five Clients Are Greeted One After The Other
    [Tags]    server.keeps-serving
    Camera Starts    tls_server.py
    Client Connects To Camera    count=5
    Peers Should All Have Received    hello\n    count=5
    Camera Should Still Run

It Can Be Run Again At Once
    [Tags]    server.rerun
    Camera Starts    tls_server.py
    Client Connects To Camera    name=first
    Camera Is Interrupted
    Camera Is Soft Reset
    Camera Starts    tls_server.py
    Client Connects To Camera    name=second    address=192.168.1.21
    Peer Should Have Received    hello\n

It Can Be Run Again While A Connection Is In TIME-WAIT
    [Documentation]    A client that says close_notify after the camera's FIN is answered by a reset, which leaves no TIME-WAIT.
    [Tags]    server.rerun
    Camera Has File    server.der    certificate=server_p256
    Camera Has File    server.key    key=server_p256
    Camera Starts    tls_server.py
    Client Connects To Camera    name=first    misbehave=no_close_notify
    Camera Is Interrupted
    Camera Does    sock.close()
    Camera Starts    tls_server.py
    Client Connects To Camera    name=second    address=192.168.1.21
    Peer Should Have Received    hello\n

A Client That Takes Two Seconds Is Greeted
    [Tags]    server.keeps-serving
    Camera Starts    tls_server.py
    Client Connects To Camera    handshake_delay_ms=2000
    Peer Should Have Received    hello\n
    Camera Should Still Run

A Client That Leaves In Mid Handshake Does Not End The Server
    [Tags]    server.survives-bad-client
    Camera Starts    tls_server.py
    Client Connects To Camera    name=hasty    leave_ms=20
    Camera Should Still Run
    Client Connects To Camera    name=patient    address=192.168.1.21
    Peer Should Have Received    hello\n

A Client That Resets In Mid Handshake Does Not End The Server
    [Tags]    server.survives-bad-client
    Camera Starts    tls_server.py
    Client Connects To Camera    name=hasty    leave_ms=20    end=reset
    Camera Should Still Run
    Client Connects To Camera    name=patient    address=192.168.1.21
    Peer Should Have Received    hello\n

A Client That Speaks Plain HTTP Does Not End The Server
    [Tags]    server.survives-bad-client
    Camera Starts    tls_server.py
    Client Connects To Camera    tcp    name=browser    send=GET / HTTP/1.0\r\n\r\n    hold_ms=500
    Camera Should Still Run

A Client That Says Nothing And Goes Does Not End The Server
    [Tags]    server.survives-bad-client
    Camera Starts    tls_server.py
    Client Connects To Camera    tcp    name=scanner    hold_ms=100
    Camera Should Still Run

A Client That Does Not Trust The Certificate Does Not End The Server
    [Tags]    server.survives-bad-client
    Camera Starts    tls_server.py
    Client Connects To Camera    verify=other_ca
    Peer Should Have Failed    certificate verify failed
    Camera Should Still Run

A Silent Client Does Not Keep Others Waiting
    [Tags]    server.silent-client
    Camera Starts    tls_server.py
    Client Calls Camera    tcp    name=silent    hold_ms=60000
    Client Connects To Camera    name=patient    address=192.168.1.21    start_ms=1000    leave_ms=10000
    Peer Should Have Received    hello\n

A Time-Out On The Accepted Socket Ends A Silent Client
    [Tags]    server.timeout
    Camera Starts    ${CURDIR}/camera/server_with_timeout.py
    Client Calls Camera    tcp    name=silent    hold_ms=60000
    Client Connects To Camera    name=patient    address=192.168.1.21    start_ms=1000
    Peer Should Have Received    hello\n
    Camera Finishes
    Camera Should Print    [Errno 110] ETIMEDOUT

A Client That Speaks First Is Greeted
    [Tags]    server.speaks-first
    Camera Starts    tls_server.py
    Client Connects To Camera    send=GET / HTTP/1.0\r\n\r\n
    Peer Should Have Received    hello\n
    Peer Should Have Met No Error
    Conversation Should Not Hold    TCP RST
