*** Settings ***
Documentation    ssl.wrap_socket(), the function.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
All Parameters Are Taken By Name
    [Tags]    function.signature
    An Example Server
    Camera Does    sock = tcp()
    ...    s = ssl.wrap_socket(sock=sock, server_side=False, key=None, cert=None, cert_reqs=ssl.CERT_NONE, cadata=None, server_hostname=None, do_handshake=True)

All Parameters Are Taken By Position
    [Tags]    function.signature
    An Example Server
    Camera Does    sock = tcp()
    ...    s = ssl.wrap_socket(sock, False, None, None, ssl.CERT_REQUIRED, open('ca.der', 'rb').read(), 'example.com', True)

An Unknown Parameter Is A TypeError
    [Tags]    function.signature
    Camera Raises    TypeError    ssl.wrap_socket(None, certfile='server.der')

Without Arguments It Is A TypeError
    [Tags]    function.signature
    Camera Raises    TypeError    ssl.wrap_socket()

The Default Is A Client That Shakes Hands At Once And Verifies Nothing
    [Tags]    function.signature
    An Example Server    certificate=own
    Camera Does    s = ssl.wrap_socket(tcp())
    Peer Is    example.com
    Peer Should Have Met No Error
    Peer Should Have    server_name    ${None}

The Order Of key And cert Is As Documented
    [Documentation]    The reverse of load_cert_chain()'s.
    [Tags]    function.signature
    An Example Server    verify=ca
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Camera Does    s = ssl.wrap_socket(tcp(), False, open('camera.key', 'rb').read(), open('camera.der', 'rb').read())
    Peer Is    example.com
    Peer Should Have Verified The Camera

A CA Of One Call Is Unknown To The Next
    [Tags]    function.fresh-context
    An Example Server
    Camera Does    ca, other = open('ca.der', 'rb').read(), open('other_ca.der', 'rb').read()
    ...    s = ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=ca, server_hostname='example.com')
    Camera Refuses    ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=other, server_hostname='example.com')

An Identity Of One Call Is Unknown To The Next
    [Tags]    function.fresh-context
    An Example Server    verify=ca
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Camera Does    s = ssl.wrap_socket(tcp(), key='camera.key', cert='camera.der')
    Peer Is    example.com
    Peer Should Have Verified The Camera
    Camera Raises    OSError    s = ssl.wrap_socket(tcp())    s.write(b'x')    s.read(1)

Settings Of One Call Do Not Reach The Next
    [Tags]    function.fresh-context
    An Example Server    certificate=of_other_ca
    Camera Does    ca = open('ca.der', 'rb').read()
    Camera Refuses    ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=ca, server_hostname='example.com')
    Camera Does    s = ssl.wrap_socket(tcp(), server_hostname='example.com')
    Peer Is    example.com
    Peer Should Have Met No Error

It Does What A Context Does By Hand
    [Tags]    function.fresh-context
    An Example Server
    Camera Does    ca = open('ca.der', 'rb').read()
    ...    a = ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=ca, server_hostname='example.com')
    ...    b = required()
    ...    print(a.cipher() == b.cipher(), type(a) is type(b))
    Camera Should Print    True True

server_hostname Is Passed On
    [Tags]    function.passes-through
    An Example Server
    Camera Does    s = ssl.wrap_socket(tcp(), server_hostname='example.com')
    Peer Is    example.com
    Peer Should Have    server_name    example.com

server_side Is Passed On
    [Tags]    function.passes-through
    Camera Starts    ${CURDIR}/camera/wrap_accepted.py
    Client Connects To Camera    verify=ca
    Peer Should Have Verified The Camera
    Peer Should Have Received    hello\n

do_handshake Is Passed On
    [Tags]    function.passes-through
    An Example Server
    Camera Does    s = ssl.wrap_socket(tcp(), do_handshake=False)    time.sleep(1)
    Conversation Should Not Hold    ClientHello
    Camera Does    s.write(b'x')
    Conversation Should Hold    ClientHello

CERT_NONE Takes Any Certificate
    [Tags]    function.none-optional
    [Template]    With Any Certificate
    ssl.CERT_NONE    of_other_ca

CERT_NONE Takes An Expired Certificate
    [Tags]    function.none-optional
    [Template]    With Any Certificate
    ssl.CERT_NONE    expired

CERT_NONE Takes A Certificate For Another Name
    [Tags]    function.none-optional
    [Template]    With Any Certificate
    ssl.CERT_NONE    other_name

CERT_OPTIONAL Takes Any Certificate
    [Tags]    function.none-optional
    [Template]    With Any Certificate
    ssl.CERT_OPTIONAL    of_other_ca

CERT_OPTIONAL Takes An Expired Certificate
    [Tags]    function.none-optional
    [Template]    With Any Certificate
    ssl.CERT_OPTIONAL    expired

CERT_REQUIRED Takes A Good Certificate
    [Tags]    function.required-client
    An Example Server
    Camera Does    ca = open('ca.der', 'rb').read()
    ...    s = ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=ca, server_hostname='example.com')

CERT_REQUIRED Refuses An Untrusted Certificate
    [Tags]    function.required-client
    [Template]    Required Refuses
    of_other_ca

CERT_REQUIRED Refuses An Expired Certificate
    [Tags]    function.required-client
    [Template]    Required Refuses
    expired

CERT_REQUIRED Refuses A Future Certificate
    [Tags]    function.required-client
    [Template]    Required Refuses
    future

CERT_REQUIRED Refuses A Certificate For Another Name
    [Tags]    function.required-client
    [Template]    Required Refuses
    other_name

A Server With CERT_REQUIRED Takes A Good Client
    [Tags]    function.required-server
    Camera Starts    ${CURDIR}/camera/wrap_accepted.py    cert_reqs=${2}    ca=ca.der
    Client Connects To Camera    certificate=client
    Peer Should Have Received    hello\n

A Server With CERT_REQUIRED Refuses A Client Of Another Authority
    [Tags]    function.required-server
    Camera Starts    ${CURDIR}/camera/wrap_accepted.py    cert_reqs=${2}    ca=ca.der
    Client Connects To Camera    certificate=client_of_other_ca    leave_ms=5000
    Camera Finishes
    Camera Should Raise    OSError or ValueError
    Peer Should Have Received    ${EMPTY}

A Server With CERT_REQUIRED Refuses A Client Without A Certificate
    [Tags]    function.required-server
    Camera Starts    ${CURDIR}/camera/wrap_accepted.py    cert_reqs=${2}    ca=ca.der
    Client Connects To Camera    leave_ms=5000
    Camera Finishes
    Camera Should Raise    OSError or ValueError
    Peer Should Have Received    ${EMPTY}

cadata Alone Verifies Nothing
    [Tags]    function.cadata
    An Example Server    certificate=of_other_ca
    Camera Does    s = ssl.wrap_socket(tcp(), cadata=open('ca.der', 'rb').read(), server_hostname='example.com')

Memory Of Other Kinds Is No cadata
    [Tags]    function.cadata
    Camera Does    sock, ca = socket.socket(), open('ca.der', 'rb').read()
    Camera Raises    TypeError    ssl.wrap_socket(sock, cadata=bytearray(ca))
    Camera Raises    TypeError    ssl.wrap_socket(sock, cadata=memoryview(ca))

A Path Is No cadata
    [Tags]    function.cadata
    An Example Server
    Camera Raises    TypeError or ValueError    ssl.wrap_socket(tcp(), cadata='ca.der')

The First Certificate In cadata Counts
    [Tags]    function.single-certificate
    An Example Server
    Camera Does    both = open('ca.der', 'rb').read() + open('other_ca.der', 'rb').read()
    ...    s = ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=both, server_hostname='example.com')

The Second Certificate In cadata Does Not Count
    [Tags]    function.single-certificate
    An Example Server    certificate=of_other_ca
    Camera Does    both = open('ca.der', 'rb').read() + open('other_ca.der', 'rb').read()
    Camera Refuses    ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=both, server_hostname='example.com')

key And cert Are The Camera's Identity
    [Tags]    function.key-cert
    An Example Server    verify=ca
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Camera Does    s = ssl.wrap_socket(tcp(), key=open('camera.key', 'rb').read(), cert=open('camera.der', 'rb').read())
    Peer Is    example.com
    Peer Should Have Verified The Camera

key And cert May Be Paths
    [Tags]    function.key-cert
    An Example Server    verify=ca
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Camera Does    s = ssl.wrap_socket(tcp(), key='camera.key', cert='camera.der')
    Peer Is    example.com
    Peer Should Have Verified The Camera

A key In The Place Of cert Is Noticed
    [Tags]    function.key-cert
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Camera Refuses    ssl.wrap_socket(socket.socket(), key='camera.der', cert='camera.key')

One Of key And cert Is Not Enough
    [Tags]    function.key-cert
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Camera Raises    TypeError    ssl.wrap_socket(socket.socket(), key='camera.key')
    Camera Raises    TypeError    ssl.wrap_socket(socket.socket(), cert='camera.der')


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}=example    &{options}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}    &{options}

With Any Certificate
    [Arguments]    ${mode}    ${certificate}
    An Example Server    ${certificate}
    Camera Does    s = ssl.wrap_socket(tcp(), cert_reqs=${mode}, cadata=open('ca.der', 'rb').read(), server_hostname='example.com')
    Peer Is    example.com
    Peer Should Have Met No Error

Required Refuses
    [Arguments]    ${certificate}
    An Example Server    ${certificate}
    Camera Does    ca = open('ca.der', 'rb').read()
    Camera Refuses    ssl.wrap_socket(tcp(), cert_reqs=ssl.CERT_REQUIRED, cadata=ca, server_hostname='example.com')
    Nobody Should Have Met    example.com
