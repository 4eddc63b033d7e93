*** Settings ***
Documentation    Bugs from the field: the collector, and objects that are used when they are gone. Those that are open show what the firmware does today.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
After gc.collect() A Write Is Error -9
    [Documentation]    The report is open; with a socket that nothing else refers to it does not happen here.
    [Tags]    micropython-15920
    An Example Server
    Camera Does    s = connect()
    ...    for _ in range(5): gc.collect(); s.write(b'ping'); print(s.read(4))
    Camera Should Print    b'ping'\nb'ping'\nb'ping'\nb'ping'\nb'ping'

The Collector Frees The Context Between Two Reads
    [Documentation]    Mended in 1.21.
    [Tags]    micropython-12139
    An Example Server
    Camera Does    s = context(ca='ca.der').wrap_socket(tcp())    s.write(b'pingpong')    print(s.read(4))    gc.collect()
    ...    junk = [bytearray(1000) for _ in range(100)]    print(s.read(4))    s.write(b'more')    print(s.read(4))
    Camera Should Print    b'ping'\nb'pong'\nb'more'

Connecting Again Without close() Runs Out Of Memory
    [Documentation]    Mended in 1.25: sockets without a reference are closed by the collector.
    [Tags]    micropython-16015
    An Example Server
    Camera Does
    ...    for _ in range(10): s = connect(); s.write(b'x'); gc.collect()
    ...    print('ten times')
    Camera Should Print    ten times

A Failed Deferred Handshake Leaves The Socket Open
    [Documentation]    Open: unless they are closed by hand, sockets run out.
    [Tags]    micropython-19630
    An Example Server    certificate=of_other_ca
    Camera Does    sock = tcp()    s = context(ssl.CERT_REQUIRED, 'ca.der').wrap_socket(sock, server_hostname='example.com', do_handshake_on_connect=False)
    Camera Raises    ValueError    s.write(b'x')
    Conversation Should Not Hold    camera > example.com: TCP FIN

setblocking() After close() Crashes
    [Documentation]    Open.
    [Tags]    micropython-17719
    An Example Server
    Camera Does    s = connect()    s.close()
    Camera Crashes    s.setblocking(False)

cipher() Before The Handshake Crashes
    [Documentation]    Open.
    [Tags]    cipher-before-handshake
    An Example Server
    Camera Does    s = connect(wrap={'do_handshake_on_connect': False})
    Camera Crashes    s.cipher()


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}=example    &{options}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}    &{options}
