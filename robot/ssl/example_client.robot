*** Settings ***
Documentation    The page's two client examples, and what they say to servers they must not trust.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
Its Modules Are There
    [Tags]    client.imports
    Camera Does    import socket, ssl, ntptime

The Clock Is Set From The Network
    [Tags]    client.settime
    Camera Does    set_clock(2015)    import ntptime    ntptime.settime()
    Camera Clock Should Be Right

The Clock Is Set From The Network In The Next Era Of NTP
    [Tags]    client.settime
    [Setup]    Start Camera    scenario=${CURDIR}${/}year_2040.toml
    Camera Does    import ntptime, time    ntptime.settime()
    Camera Evaluates    time.gmtime()[:3]    (2040, 2, 29)

A Silent Time Server Is An OSError
    [Tags]    client.settime
    Network Has Server    tcp    silent.example
    Camera Does    t = time.ticks_ms()
    Camera Raises    OSError    import ntptime    ntptime.host = 'silent.example'    ntptime.settime()
    Camera Should Raise    OSError    ETIMEDOUT
    Camera Evaluates    1000 <= time.ticks_diff(time.ticks_ms(), t) < 2000    True

A Time Server Without An Address Is An OSError
    [Tags]    client.settime
    Camera Raises    OSError    import ntptime    ntptime.host = 'nowhere.example'    ntptime.settime()
    Camera Should Raise    OSError    -2

A Valid Certificate Is Accepted
    [Tags]    client.accepts-issued
    An Example Server    certificate=example_p256    ciphers=DEFAULT
    Camera Runs    tls_client.py
    Camera Should Not Raise
    Camera Output Should Hold    HTTP/1.1 200 OK
    Camera Output Should Hold    Example Domain
    Network Should Have Seen    DHCP ACK
    Network Should Have Seen    NTP Version 3, server
    Network Should Have Seen    A example.com
    Network Should Have Seen    Client Hello
    Network Should Have Seen    GET / HTTP/1.0

A Certificate Of An Intermediate Authority Is Accepted
    [Tags]    client.accepts-issued
    An Example Server    certificate=of_intermediate
    Camera Runs    tls_client.py
    Camera Should Not Raise
    Camera Output Should Hold    Example Domain

A Certificate Of An Unknown Authority Is Refused
    [Tags]    client.refuses-others
    An Example Server    certificate=of_other_ca
    Camera Runs    tls_client.py
    Camera Should Raise    OSError or ValueError    The certificate is not correctly signed by the trusted CA
    Conversation Should Hold    TLS alert, fatal unknown_ca
    Conversation Should Not Hold    GET / HTTP/1.0

A Certificate For Another Name Is Refused
    [Tags]    client.refuses-others
    An Example Server    certificate=other_name
    Camera Runs    tls_client.py
    Camera Should Raise    OSError or ValueError    Common Name (CN) does not match with the expected CN
    Conversation Should Not Hold    GET / HTTP/1.0

An Expired Certificate Is Refused
    [Tags]    client.refuses-others
    An Example Server    certificate=expired
    Camera Runs    tls_client.py
    Camera Should Raise    OSError or ValueError    The certificate validity has expired
    Conversation Should Hold    TLS alert, fatal certificate_expired
    Conversation Should Not Hold    GET / HTTP/1.0

Nothing Is Valid Before The Clock Is Set
    [Tags]    client.clock-first
    An Example Server    certificate=example
    Camera Does    set_clock(2015)
    Camera Raises    OSError or ValueError    required()
    Camera Should Raise    OSError or ValueError    The certificate validity starts in the future
    Camera Does    import ntptime    ntptime.settime()    required()

TCP Is Plain Until It Is Wrapped
    [Tags]    client.plain-until-wrapped
    Network Has Server    tcp    example.com    port=443
    Camera Does    sock = tcp()    time.sleep(1)
    Peer Is    example.com
    Peer Should Have Received    ${EMPTY}
    Camera Does    sock.write(b'in clear')    print(sock.read(8))
    Camera Should Print    b'in clear'
    Somebody Should Overhear    in clear

write() Sends The Whole Request
    [Tags]    client.write-sends-all
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Evaluates    required().write(b'GET / HTTP/1.0\\r\\nHost: example.com\\r\\n\\r\\n')    37
    Peer Is    example.com
    Peer Should Have Received    GET / HTTP/1.0\r\nHost: example.com\r\n\r\n

read() Returns The Whole Response
    [Tags]    client.read-returns-response
    [Template]    A Response Comes Whole
    1
    9000
    60000

close() Ends The Connection
    [Tags]    client.close-ends
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    s = connect()    s.close()
    Peer Is    example.com
    Peer Should Have Met No Error
    Conversation Should Hold    TCP FIN

close() May Be Called Twice
    [Tags]    client.close-ends
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    s = connect()    s.close()    s.close()
    Camera Raises    OSError    s.read(1)

The One-Liner Accepts A Good Certificate
    [Tags]    one-liner.no-check
    [Template]    The One-Liner Connects To
    example

The One-Liner Accepts A Self-Signed Certificate
    [Tags]    one-liner.no-check
    [Template]    The One-Liner Connects To
    own

The One-Liner Accepts An Expired Certificate
    [Tags]    one-liner.no-check
    [Template]    The One-Liner Connects To
    expired

The One-Liner Accepts A Certificate For Another Name
    [Tags]    one-liner.no-check
    [Template]    The One-Liner Connects To
    other_name

The One-Liner Accepts A Certificate Of Another Authority
    [Tags]    one-liner.no-check
    [Template]    The One-Liner Connects To
    of_other_ca


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}    &{options}
    Network Has Server    https    example.com    certificate=${certificate}    body=<h1>Example Domain</h1>    &{options}

A Response Comes Whole
    [Arguments]    ${size}
    Network Has Server    tls    of${size}.example.com    port=443    certificate=wildcard    echo=false
    ...    greeting=abcdefghijklmnopqrstuvwxyz    size=${size}
    Camera Does    data = required('of${size}.example.com').read()    print(len(data), same(data, ${size}))
    Camera Should Print    ${size} True

The One-Liner Connects To
    [Arguments]    ${certificate}
    An Example Server    certificate=${certificate}
    Camera Runs    tls_wrap_socket.py
    Camera Should Not Raise
    Camera Output Should Hold    Example Domain
