*** Settings ***
Documentation    Several cameras in one network, each with its own image, evidence and cable.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera
Test Tags        hostile-cameras


*** Test Cases ***
A Camera Verifies Another Camera
    [Tags]    tenth
    Camera Starts    ${CURDIR}/camera/secure_server.py    connections=${1}
    Another Camera Joins    client    scenario=${WORLD}
    Camera Runs    ${CURDIR}/camera/secure_client.py    peer=camera    root=ca.der
    Camera Output Should Hold    TLSv1.2 TLS-ECDHE-ECDSA-WITH
    Camera Output Should Hold    hello client
    Heap Should Be As Before
    Turn To Camera    camera
    Camera Finishes
    Camera Should Print    served\nheap 0

A Camera Serves Three Cameras At The Same Time
    Camera Starts    ${CURDIR}/camera/secure_server.py    connections=${3}
    FOR    ${name}    IN    first    second    third
        Another Camera Joins    ${name}    scenario=${WORLD}
        Camera Starts    ${CURDIR}/camera/secure_client.py    peer=camera    root=ca.der
    END
    FOR    ${name}    IN    third    second    first
        Run Keyword If    '${name}' != 'third'    Turn To Camera    ${name}
        Camera Finishes    limit_s=60
        Camera Output Should Hold    hello client
        Heap Should Be As Before
    END
    Turn To Camera    camera
    Camera Finishes
    Camera Should Print    served\nserved\nserved\nheap 0

A Camera Does Not Trust A Camera Of Another Root
    Camera Starts    ${CURDIR}/camera/secure_server.py    connections=${1}
    Another Camera Joins    client    scenario=${WORLD}
    Camera Runs    ${CURDIR}/camera/secure_client.py    peer=camera    root=other_ca.der
    Camera Output Should Hold    raised ('\\nThe certificate is not correctly signed by the trusted CA\\n',)
    Heap Should Be As Before
    Turn To Camera    camera
    Camera Finishes
    Camera Should Not Print    served
    Heap Should Be As Before

A Camera Speaks DTLS With Another Camera
    Camera Has File    server.der    certificate=server_p256
    Camera Has File    server.key    key=server_p256
    Camera Starts    dtls_server.py
    Another Camera Joins    client    scenario=${WORLD}
    Camera Does    from helpers import *
    Camera Does
    ...    import socket
    ...    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ...    s.settimeout(20)
    ...    s.connect(socket.getaddrinfo("camera", 5684)[0][-1])
    ...    c = context(ssl.CERT_REQUIRED, "ca.der", protocol=ssl.PROTOCOL_DTLS_CLIENT)
    ...    s = c.wrap_socket(s, server_hostname="camera.local")
    ...    print(s.read(6))
    Camera Should Print    b'hello\\n'
    Turn To Camera    camera
    Camera Should Still Run
    Camera Is Interrupted

What One Camera's Cable Suffers The Other's Does Not
    Camera Starts    ${CURDIR}/camera/secure_server.py    connections=${1}
    Another Camera Joins    client    scenario=${WORLD}
    Network Suffers    loss    rate=0.25
    Camera Runs    ${CURDIR}/camera/secure_client.py    peer=camera    root=ca.der    limit_s=120
    Camera Output Should Hold    hello client
    Heap Should Be As Before
    Network Should Have Suffered
    Conversation Should Hold    retransmission
    Turn To Camera    camera
    Camera Finishes
    Camera Should Print    served\nheap 0


*** Variables ***
${WORLD}    ${CURDIR}/../ssl/world.toml
