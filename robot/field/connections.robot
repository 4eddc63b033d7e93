*** Settings ***
Documentation    Bugs from the field: connections that end badly, or do not end. Those that are open show what the firmware does today.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A Server That Closes In The Handshake Is Error -29312
    [Documentation]    Open: CONN_EOF instead of an end of the stream or ECONNRESET.
    [Tags]    micropython-16185    micropython-10625
    Network Has Server    tcp    example.com    port=443    echo=false
    Camera Raises    OSError    connect()
    Camera Should Raise    OSError    -29312

A Lossy Link Blocks wrap_socket() Until The Watchdog Bites
    [Documentation]    Open: no time limit of its own; a time-out or do_handshake_on_connect=False helps.
    [Tags]    micropython-mqtt-171
    Network Has Server    tls    example.com    port=443    certificate=example    handshake_delay_ms=300000
    Camera Starts    ${CURDIR}/camera/connect.py
    Time Passes    100
    Camera Should Still Run
    Camera Is Interrupted
    Camera Does    sock = tcp()    sock.settimeout(5)    ctx = context()
    Camera Raises    OSError    ctx.wrap_socket(sock)
    Camera Should Raise    OSError    ETIMEDOUT

poll() Does Not See What Is Decrypted Already
    [Documentation]    Mended in 1.20.
    [Tags]    micropython-9871    micropython-10250
    Network Has Server    tls    example.com    port=443    certificate=example    greeting=abcdefgh
    Camera Does    s = connect()    s.read(4)    p = select.poll()    p.register(s, select.POLLIN)    print(len(p.poll(0)))
    Camera Should Print    1

wrap_socket() On A Listening Socket Is A HardFault
    [Documentation]    Mended in 1.26: an OSError.
    [Tags]    micropython-16697
    Camera Raises    OSError    server_context().wrap_socket(listen(), server_side=True)

A Reset From The Peer Discards What Was Not Yet Read
    [Documentation]    Open here, mended in 1.28.
    [Tags]    micropython-18547
    Network Has Server    tcp    example.com    port=443    greeting=part    echo=false    end=reset
    Camera Does    s = tcp()    time.sleep(1)
    Camera Raises    OSError    s.read(4)
    Camera Should Raise    OSError    ECONNRESET

close() With Unread Data Sends A Reset
    [Documentation]    Open: the peer may lose what it has not read by then.
    [Tags]    micropython-17072
    Camera Starts    tls_server.py
    Client Connects To Camera    send=GET / HTTP/1.0\r\n\r\n
    Conversation Should Hold    TCP RST
    Peer Should Have Failed    reset

A Client That Aborts In The Accept Queue Leaves A Dead Stack
    [Documentation]    Partly mended: accept() may raise, the next client is served.
    [Tags]    micropython-4590    micropython-4644
    Camera Does    listener = listen()
    Client Connects To Camera    tcp    name=hasty    hold_ms=1    end=reset
    Camera Raises    OSError    listener.settimeout(1)    listener.accept()
    Camera Should Raise    OSError    ETIMEDOUT
    Camera Does    listener.settimeout(None)
    Client Calls Camera    name=patient    address=192.168.1.21    start_ms=100
    Camera Runs    ${CURDIR}/camera/accept_until_served.py
    Camera Should Not Raise
    Peer Is    patient
    Peer Should Have Received    hello\n

close() Sends No close_notify
    [Documentation]    Open: a strict peer takes the end of the stream for an attack.
    [Tags]    micropython-10783
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    s = connect()    s.close()
    Peer Is    example.com
    Peer Should Have    close_notify    ${False}

read() Waits For The End Of A Stream That Does Not End
    [Documentation]    Open: read() without a size hangs at a server that keeps the connection.
    [Tags]    micropython-16091    micropython-3595
    Network Has Server    tls    example.com    port=443    certificate=example    greeting=all
    Camera Starts    ${CURDIR}/camera/read_all.py
    Time Passes    100
    Camera Should Still Run
    Camera Should Not Print    all

A Static Address Is Forgotten By active()
    [Documentation]    Open: an interface that is switched on again asks DHCP, whatever it was told.
    [Tags]    micropython-15877
    Camera Does    import network    lan = network.LAN()    lan.ipconfig(addr4='192.168.1.50/24', gw4='192.168.1.1')
    Camera Evaluates    lan.ipconfig('addr4')[0]    '192.168.1.50'
    Camera Does    lan.active(False)    time.sleep(1)    lan.active(True)    time.sleep(3)
    Camera Evaluates    lan.ipconfig('addr4')[0]    '192.168.1.100'
