*** Settings ***
Documentation    Bugs from the field: DTLS and datagrams.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A DTLS Server Answers Anybody Without A Cookie
    [Documentation]    Mended in 1.26: HelloVerifyRequest comes first.
    [Tags]    micropython-17441
    Camera Starts    dtls_server.py
    Client Connects To Camera    dtls
    Conversation Should Hold    camera > client: DTLS HelloVerifyRequest

The Second Of Two Datagrams Is Dropped
    [Documentation]    Mended in 1.26: there is a queue.
    [Tags]    micropython-17261
    Network Has Server    dtls    dtls.example.com    certificate=dtls
    Camera Does    s = context(protocol=ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(udp())
    ...    for word in (b'one', b'two', b'six'): s.write(word)
    ...    time.sleep(1)    print([s.read(3) for _ in range(3)])
    Camera Should Print    [b'one', b'two', b'six']
